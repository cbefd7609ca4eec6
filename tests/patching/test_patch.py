"""Re-weighting, bypassing and recording on whole pipelines. Steps and schedulers are in test_rows.py."""

import copy
from contextlib import ExitStack

import accelerate
import numpy as np
import pytest
import tiny
import torch
from diffusers import UNet2DConditionModel
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from nets import draw, inputs, predict, traces
from peft import LoraConfig

from reweight.patching.blocks import target_blocks
from reweight.patching.patch import BlockControl, bypassed, captured, reweighted

# the paper's stages, named by hand: METHOD sec. 1
SD_STAGES = ("down_blocks.0", "down_blocks.1", "down_blocks.2", "mid_block", *(f"up_blocks.{j}" for j in (1, 2, 3)))
SDXL_STAGES = ("down_blocks.1", "down_blocks.2", "mid_block", "up_blocks.0", "up_blocks.1")
NEAR = 1 / 255  # batched and one at a time may differ in the last bits


def scaled_by_hand(unet, stages, w):
    """Scale with plain hooks on hand-named stages."""
    undo = ExitStack()
    for stage, factor in zip(stages, w, strict=True):
        for module in unet.get_submodule(stage).modules():
            if isinstance(module, Transformer2DModel):

                def scale(module, arguments, output, factor=float(factor)):
                    return (output[0] * factor,)

                undo.callback(module.register_forward_hook(scale).remove)
    return undo


@pytest.fixture(params=["sd", "sdxl"])
def pipe(request):
    return request.getfixturevalue(f"{request.param}_pipe")


def blocks_of(pipe):
    return len(target_blocks(pipe.unet))


class TestBaseline:
    @pytest.mark.parametrize("guidance", [0.0, 3.0])
    def test_neutral_weights_are_bitwise_the_baseline(self, pipe, guidance):
        before = draw(pipe, guidance=guidance)
        with reweighted(pipe, np.ones((2, blocks_of(pipe))), thresholds=np.ones((2, blocks_of(pipe)))):
            assert (draw(pipe, guidance=guidance) == before).all()

    def test_leaving_is_bitwise_and_leaves_nothing(self, pipe):
        before, clean = draw(pipe), traces(pipe.unet)
        with reweighted(pipe, np.full((2, blocks_of(pipe)), 0.8)):
            assert (draw(pipe) != before).any()
            assert traces(pipe.unet) != clean
        assert traces(pipe.unet) == clean
        assert (draw(pipe) == before).all()

    @pytest.mark.parametrize("context", [reweighted, bypassed, captured, BlockControl])
    def test_an_exception_leaves_nothing(self, sd_pipe, context):
        before, clean = draw(sd_pipe), traces(sd_pipe.unet)
        table = {reweighted: [np.full((2, 7), 0.5)], bypassed: [np.ones((2, 7), bool)]}.get(context, [])
        with pytest.raises(KeyError, match="inside"), context(sd_pipe, *table):
            draw(sd_pipe)
            raise KeyError("inside")
        assert traces(sd_pipe.unet) == clean
        assert (draw(sd_pipe) == before).all()

    def test_a_failed_entry_unwinds(self, sd_pipe, monkeypatch):
        clean = traces(sd_pipe.unet)
        last = sd_pipe.unet.up_blocks[3].attentions[2]

        def fail(*arguments, **kwargs):
            raise MemoryError("no room")

        with monkeypatch.context() as patch:
            patch.setattr(last, "register_forward_hook", fail)
            with pytest.raises(MemoryError), reweighted(sd_pipe, np.ones((2, 7))):
                pass
        assert traces(sd_pipe.unet) == clean
        with reweighted(sd_pipe, np.ones((2, 7))):
            pass


class TestWeights:
    @pytest.mark.parametrize("build, stages", [(tiny.build_sd_unet, SD_STAGES)])
    def test_parity_with_hooks_by_hand(self, build, stages):
        unet = build()
        w = np.linspace(0.7, 1.3, len(stages))
        with scaled_by_hand(unet, stages, w):
            expected = predict(unet)
        with reweighted(unet, w[None]):
            assert torch.equal(predict(unet), expected)

    def test_parity_with_hooks_by_hand_over_a_pipeline(self, sdxl_pipe):
        w = np.linspace(0.7, 1.3, 5)
        with scaled_by_hand(sdxl_pipe.unet, SDXL_STAGES, w):
            expected = draw(sdxl_pipe)
        with reweighted(sdxl_pipe, np.stack([w, w])):
            assert (draw(sdxl_pipe) == expected).all()

    def test_the_whole_output_is_scaled(self):
        unet = tiny.build_sd_unet()
        outputs = []
        handle = unet.down_blocks[0].attentions[0].register_forward_hook(lambda *call: outputs.append(call[2][0]))
        predict(unet)
        handle.remove()
        plain = outputs[0]
        skips = []
        with reweighted(unet, [[0.5] + [1.0] * 6]):
            handle = unet.down_blocks[0].register_forward_hook(lambda *call: skips.append(call[2][1][0]))
            predict(unet)
        handle.remove()
        assert torch.equal(skips[0], plain * 0.5)

    def test_any_finite_weight(self, sd_pipe):
        for value in (0.0, -1.0, 3.0):
            with reweighted(sd_pipe, np.full((2, 7), value)):
                assert np.isfinite(draw(sd_pipe)).all()

    def test_arrays_lists_tensors_and_a_constant_row(self, sd_pipe):
        row = [0.9, 1.0, 1.1, 0.8, 1.0, 1.2, 1.0]
        pictures = []
        for weights in ([row, row], np.array([row, row]), torch.tensor([row, row], dtype=torch.float64), row):
            with reweighted(sd_pipe, weights):
                pictures.append(draw(sd_pipe))
        assert all((picture == pictures[0]).all() for picture in pictures)

    def test_each_step_has_its_own_row(self, sd_pipe):
        late = np.ones((2, 7))
        late[1] = 0.5
        with captured(sd_pipe) as plain:
            draw(sd_pipe)
        with reweighted(sd_pipe, late), captured(sd_pipe) as calls:
            draw(sd_pipe)
        assert torch.equal(calls[0].output, plain[0].output)
        assert torch.equal(calls[1].sample, plain[1].sample)
        assert not torch.equal(calls[1].output, plain[1].output)

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
    def test_dtype_is_kept(self, dtype):
        unet = tiny.build_sd_unet().to(dtype)
        with reweighted(unet, np.full((1, 7), 0.9)):
            assert predict(unet, *inputs(unet, dtype=dtype)).dtype == dtype
        with reweighted(unet, np.linspace(0.9, 1, 14).reshape(2, 1, 7)):
            assert predict(unet, *inputs(unet, dtype=dtype)).dtype == dtype

    def test_gradients_flow(self):
        unet = tiny.build_sd_unet()
        with reweighted(unet, np.full((2, 1, 7), 0.9), thresholds=np.array([[[0.95] + [0] * 6], [[0] * 7]])):
            unet(*inputs(unet))[0].square().mean().backward()
        assert all(p.grad is not None for n, p in unet.named_parameters() if "attentions" in n)

    def test_return_dict_and_pictures_per_prompt(self, pipe):
        w = np.full((2, blocks_of(pipe)), 0.9)
        with reweighted(pipe, w):
            expected = draw(pipe)
            assert (draw(pipe, return_dict=False) == expected).all()
            many = draw(pipe, num_images_per_prompt=3)
        assert many.shape[0] == 3

    def test_attention_slicing(self, sd_pipe):
        w = np.full((2, 7), 0.9)
        with reweighted(sd_pipe, w):
            expected = draw(sd_pipe)
            sd_pipe.enable_attention_slicing(1)
            assert np.abs(draw(sd_pipe) - expected).max() < NEAR

    def test_lora(self, sd_pipe):
        torch.manual_seed(3)
        sd_pipe.unet.add_adapter(LoraConfig(r=2, target_modules=["to_q", "to_v"], init_lora_weights=False))
        before, w = draw(sd_pipe), np.linspace(0.8, 1.2, 7)
        with scaled_by_hand(sd_pipe.unet, SD_STAGES, w):
            expected = draw(sd_pipe)
        with reweighted(sd_pipe, np.stack([w, w])):
            assert (draw(sd_pipe) == expected).all()
            sd_pipe.unet.disable_adapters()
            assert (draw(sd_pipe) != expected).any()
            sd_pipe.unet.enable_adapters()
        assert (draw(sd_pipe) == before).all()

    def test_a_deep_copy_runs_its_own_modules(self):
        unet = tiny.build_sd_unet()
        with reweighted(unet, np.full((1, 7), 0.9)):
            expected = predict(unet)
            twin = copy.deepcopy(unet)
            assert torch.equal(predict(twin), expected)
            with torch.no_grad():
                for parameter in unet.parameters():
                    parameter.zero_()
            assert torch.equal(predict(twin), expected)


class TestSamples:
    @pytest.mark.parametrize("guidance", [0.0, 3.0])
    def test_a_row_for_each_sample(self, pipe, guidance):
        w = 1 + 0.2 * np.random.default_rng(0).standard_normal((3, 2, blocks_of(pipe)))
        latents = torch.randn(3, 4, tiny.SAMPLE, tiny.SAMPLE)
        with reweighted(pipe, w):
            together = draw(pipe, guidance=guidance, latents=latents, num_images_per_prompt=3)
        for i in range(3):
            with reweighted(pipe, w[i]):
                alone = draw(pipe, guidance=guidance, latents=latents[i : i + 1])
            assert np.abs(together[i] - alone[0]).max() < NEAR

    def test_some_samples_bypass(self, pipe):
        rng = np.random.default_rng(0)
        w, q = 1 + 0.2 * rng.standard_normal((3, 2, blocks_of(pipe))), rng.uniform(0.8, 1.2, (3, 2, blocks_of(pipe)))
        q[0] = 0
        latents = torch.randn(3, 4, tiny.SAMPLE, tiny.SAMPLE)
        with reweighted(pipe, w, thresholds=q):
            together = draw(pipe, latents=latents, num_images_per_prompt=3)
        for i in range(3):
            with reweighted(pipe, w[i], thresholds=q[i]):
                alone = draw(pipe, latents=latents[i : i + 1])
            assert np.abs(together[i] - alone[0]).max() < NEAR

    def test_text_masks_follow_their_samples(self):
        unet = tiny.build_sd_unet()
        sample, t, text = inputs(unet, batch=2)
        mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]], dtype=torch.bool)
        skip = np.array([[True] * 7, [False] * 7])
        with BlockControl(unet) as control, torch.no_grad():
            control.set(skip=skip)
            both = unet(sample, t, text, encoder_attention_mask=mask)[0]
            control.set()
            alone = unet(sample[1:], t, text[1:], encoder_attention_mask=mask[1:])[0]
        torch.testing.assert_close(both[1:], alone, atol=1e-5, rtol=1e-4)

    def test_the_batch_is_whole_copies_of_the_rows(self, sd_pipe):
        clean = traces(sd_pipe.unet)
        with (
            pytest.raises(ValueError, match=r"weights for 3 samples .* batch of 4"),
            reweighted(sd_pipe, np.ones((3, 2, 7))),
        ):
            draw(sd_pipe, num_images_per_prompt=2)
        assert traces(sd_pipe.unet) == clean


class TestBypass:
    def test_saves_the_compute(self, sd_pipe):
        mask = np.zeros((2, 7), bool)
        mask[0, 3] = mask[:, 5] = True
        batches = {"mid_block": [], "up_blocks.2": [], "up_blocks.3": []}
        for name, seen in batches.items():
            block = sd_pipe.unet.get_submodule(name).attentions[0].transformer_blocks[0]
            block.register_forward_hook(lambda module, arguments, output, seen=seen: seen.append(len(output)))
        with bypassed(sd_pipe, mask):
            draw(sd_pipe)
        assert batches == {"mid_block": [2], "up_blocks.2": [], "up_blocks.3": [2, 2]}

    def test_computes_only_the_samples_that_need_it(self, sd_pipe):
        mask = np.zeros((3, 1, 7), bool)
        mask[:2, 0, 3] = True
        batches = []
        block = sd_pipe.unet.mid_block.attentions[0].transformer_blocks[0]
        block.register_forward_hook(lambda module, arguments, output: batches.append(len(output)))
        with bypassed(sd_pipe, mask):
            draw(sd_pipe, steps=1, num_images_per_prompt=3)
        assert batches == [2]

    def test_h_passes_on_unscaled(self, sd_pipe):
        with bypassed(sd_pipe, [True] * 7):
            expected = draw(sd_pipe)
        with reweighted(sd_pipe, np.full((2, 7), 0.5), thresholds=np.full((2, 7), 0.6)):
            assert (draw(sd_pipe) == expected).all()

    def test_as_if_the_attentions_were_the_identity(self):
        unet = tiny.build_sd_unet()
        with bypassed(unet, [[True] * 7]):
            skipped = predict(unet)
        with torch.no_grad():
            for name, parameter in unet.named_parameters():
                if ".proj_out." in name:
                    parameter.zero_()
        assert torch.equal(predict(unet), skipped)

    @pytest.mark.parametrize("q, skips", [(0.5, False), (0.5 + 5e-7, False), (0.5 + 2e-6, True)])
    def test_the_threshold_has_a_margin(self, q, skips):
        unet = tiny.build_sd_unet()
        with reweighted(unet, np.full((1, 7), 0.5), thresholds=np.full((1, 7), q)) as control:
            predict(unet)
            assert control.rows.skip.all() == skips

    def test_bypassing_nothing_is_the_baseline(self, sd_pipe):
        before = draw(sd_pipe)
        with bypassed(sd_pipe, np.zeros((2, 7), bool)):
            assert (draw(sd_pipe) == before).all()

    def test_both_kinds_of_output(self):
        module = tiny.build_sd_unet().mid_block.attentions[0]
        unet = UNet2DConditionModel.__new__(UNet2DConditionModel)
        torch.nn.Module.__init__(unet)
        unet.down_blocks, unet.up_blocks = torch.nn.ModuleList(), torch.nn.ModuleList()
        unet.mid_block = torch.nn.Sequential(module)
        h, text = torch.randn(2, 32, 2, 2), torch.randn(2, 5, 16)
        with BlockControl(unet) as control, torch.no_grad():
            for skip in ([True], [[True], [False]]):
                control.set([0.5], skip)
                as_tuple = module(h, encoder_hidden_states=text, return_dict=False)
                as_dict = module(h, encoder_hidden_states=text)
                assert isinstance(as_tuple, tuple)
                assert torch.equal(as_dict.sample, as_tuple[0])
                assert torch.equal(as_dict.sample[0], h[0])


class TestOffload:
    @pytest.mark.parametrize("when", ["before", "inside"])
    def test_sequential_offload(self, sd_pipe, when):
        w, q = np.full((2, 7), 0.9), np.tile([0, 1.0, 0, 0, 0, 1.0, 0], (2, 1))
        with reweighted(sd_pipe, w, thresholds=q):
            expected = draw(sd_pipe)
        plain, clean = draw(sd_pipe), traces(sd_pipe.unet)
        if when == "before":
            accelerate.cpu_offload(sd_pipe.unet, execution_device=torch.device("cpu"))
            offloaded = traces(sd_pipe.unet)
            with reweighted(sd_pipe, w, thresholds=q):
                assert (draw(sd_pipe) == expected).all()
            assert traces(sd_pipe.unet) == offloaded
        else:
            with reweighted(sd_pipe, w, thresholds=q):
                accelerate.cpu_offload(sd_pipe.unet, execution_device=torch.device("cpu"))
                assert (draw(sd_pipe) == expected).all()
        assert (draw(sd_pipe) == plain).all()
        accelerate.hooks.remove_hook_from_submodules(sd_pipe.unet)
        assert (draw(sd_pipe) == plain).all()
        hooks = {name: trace[:2] for name, trace in traces(sd_pipe.unet).items()}
        assert hooks == {name: trace[:2] for name, trace in clean.items()}

    def test_a_forward_that_was_on_the_module_comes_back(self, sd_pipe):
        module = sd_pipe.unet.mid_block.attentions[0]
        accelerate.hooks.add_hook_to_module(module, accelerate.hooks.ModelHook())
        before = vars(module)["forward"]
        with bypassed(sd_pipe, [True] * 7):
            assert vars(module)["forward"] is not before
        assert vars(module)["forward"] is before

    def test_an_offload_hook_added_inside_stays_and_lets_go_of_ours(self, sd_pipe):
        module, plain = sd_pipe.unet.mid_block.attentions[0], draw(sd_pipe)
        with bypassed(sd_pipe, [True] * 7):
            accelerate.hooks.add_hook_to_module(module, accelerate.hooks.ModelHook())
        assert (draw(sd_pipe) == plain).all()
        accelerate.hooks.remove_hook_from_module(module)
        assert (draw(sd_pipe) == plain).all()


class TestErrors:
    def refused(self, pipe, *arguments, match, error=ValueError, context=reweighted, **kwargs):
        clean = traces(pipe.unet)
        with pytest.raises(error, match=rf"^(?=[^\n]*\.$)[^\n]*{match}"), context(pipe, *arguments, **kwargs):
            raise AssertionError("entered")
        assert traces(pipe.unet) == clean

    def test_wrong_tables(self, sd_pipe):
        self.refused(sd_pipe, np.ones((2, 5)), match="5 blocks .* has 7")
        self.refused(sd_pipe, np.ones((2, 7)), thresholds=np.ones((3, 7)), match=r"\(2, 7\) .* \(3, 7\)")
        self.refused(sd_pipe, np.full((2, 7), np.nan), match="not a finite number")
        self.refused(sd_pipe, np.full((2, 7), np.inf), match="not a finite number")
        self.refused(sd_pipe, np.ones((2, 7)), thresholds=np.full((2, 7), np.nan), match="threshold table .* finite")
        self.refused(sd_pipe, np.ones((1, 1, 2, 7)), match=r"\(1, 1, 2, 7\)")
        self.refused(sd_pipe, np.ones((0, 7)), match=r"\(0, 7\)")
        self.refused(sd_pipe, 1.0, match="shape")
        self.refused(sd_pipe, [[1.0] * 7, [1.0] * 6], match="not an array of numbers")
        self.refused(sd_pipe, "weights", match="not an array of numbers")
        self.refused(sd_pipe, None, match="not an array of numbers")
        self.refused(sd_pipe, np.ones((2, 7)), context=bypassed, match="give booleans")
        self.refused(sd_pipe, np.ones((2, 6), bool), context=bypassed, match="6 blocks .* has 7")

    def test_nesting(self, sd_pipe):
        before = draw(sd_pipe)
        with reweighted(sd_pipe, np.full((2, 7), 0.9)):
            expected = draw(sd_pipe)
            for context, table in ((reweighted, np.ones((2, 7))), (bypassed, np.ones((2, 7), bool))):
                self.refused(sd_pipe, table, context=context, error=RuntimeError, match="re-weighted already")
            assert (draw(sd_pipe) == expected).all()
        assert (draw(sd_pipe) == before).all()

    def test_two_models_at_once(self, sd_pipe, sdxl_pipe):
        with reweighted(sd_pipe, np.ones((2, 7))), reweighted(sdxl_pipe, np.ones((2, 5))):
            draw(sd_pipe)
            draw(sdxl_pipe)

    def test_control_refuses_shapes(self):
        with BlockControl(tiny.build_sd_unet()) as control:
            for weights, skip, match in [
                (np.ones((2, 1, 7)), None, "one U-Net call"),
                (np.ones((2, 7)), np.ones((3, 7), bool), "2 samples .* for 3"),
                (np.ones(6), None, "6 blocks .* has 7"),
                (np.full(7, np.nan), None, "finite"),
            ]:
                with pytest.raises(ValueError, match=match):
                    control.set(weights, skip)


class TestControl:
    def test_holds_until_changed(self):
        unet = tiny.build_sd_unet()
        before = predict(unet)
        with BlockControl(unet) as control:
            assert torch.equal(predict(unet), before)
            control.set(np.full(7, 0.8))
            changed = predict(unet)
            assert not torch.equal(changed, before)
            assert torch.equal(predict(unet), changed)
            control.set(np.full((2, 7), 0.8), np.zeros(7, bool))
            assert torch.equal(predict(unet), changed)
            control.set()
            assert torch.equal(predict(unet), before)

    def test_can_be_entered_again(self):
        unet = tiny.build_sd_unet()
        control = BlockControl(unet)
        for _ in range(2):
            with control:
                predict(unet)
        assert "forward" not in vars(unet.mid_block.attentions[0])


class TestCaptured:
    @pytest.mark.parametrize("guidance", [0.0, 3.0])
    def test_a_recorded_call_can_be_replayed(self, pipe, guidance):
        with captured(pipe) as calls:
            draw(pipe, steps=3, guidance=guidance)
        assert len(calls) == 3
        assert [int(call.timestep) for call in calls] == pipe.scheduler.timesteps.tolist()
        for call in calls:
            assert call.sample.shape[0] == call.encoder_hidden_states.shape[0] == (2 if guidance else 1)
            with torch.no_grad():
                assert torch.equal(pipe.unet(*call.args, **call.kwargs)[0], call.output)

    def test_records_are_copies(self):
        unet = tiny.build_sd_unet()
        sample, t, text = inputs(unet)
        with captured(unet) as calls:
            output = unet(sample, t, encoder_hidden_states=text)
        output.sample.detach().zero_()
        sample.zero_()
        assert calls[0].output.any()
        assert not calls[0].output.requires_grad
        assert calls[0].sample.any()

    def test_records_inside_reweighted(self, sd_pipe):
        with reweighted(sd_pipe, np.full((2, 7), 0.9)), captured(sd_pipe) as calls:
            draw(sd_pipe)
        with captured(sd_pipe) as plain:
            draw(sd_pipe)
        assert torch.equal(calls[0].sample, plain[0].sample)
        assert not torch.equal(calls[0].output, plain[0].output)


@pytest.mark.slow
def test_compiled_after_entering():
    unet = tiny.build_sd_unet()
    with reweighted(unet, np.full((1, 7), 0.9)):
        expected = predict(unet)
        compiled = torch.compile(unet, backend="eager")
        torch.testing.assert_close(predict(compiled, *inputs(unet)), expected)
