"""Peer methods against plain hooks placed by hand, against formulas written out, and against the public packages."""

from itertools import product

import numpy as np
import pytest
import tiny
import torch
from diffusers import DEISMultistepScheduler
from diffusers.models.attention import BasicTransformerBlock
from nets import draw, inputs, predict
from peers import apply, far, latents, with_scheduler

from reweight.bench.peers.flops import flops
from reweight.methods import METHODS, Drawing
from reweight.methods.attention_pruning import attention_map, page_rank, pruned
from reweight.methods.deis import deis_like
from reweight.methods.encoder_propagation import FasterDiffusion
from reweight.methods.skip_tuning import factors
from reweight.methods.token_merging import cells, matching, merged, parted


@pytest.fixture(params=["sd", "sdxl"])
def pipe(request):
    return request.getfixturevalue(f"{request.param}_pipe")


class Replaced:
    """A plain forward hook on each module, that keeps what it gives or gives what it kept."""

    def __init__(self, modules, again=lambda: False):
        self.again, self.kept = again, {}
        self.handles = [module.register_forward_hook(self.hook) for module in modules]

    def hook(self, module, args, output):
        if self.again():
            return self.kept[module]
        self.kept[module] = output
        return None

    def remove(self):
        for handle in self.handles:
            handle.remove()


def by_hand(pipe, modules, full, **kwargs):
    """Latents with hooks placed by hand that hand back what modules gave at the last of the steps in full."""
    replaced = Replaced(modules, lambda: pipe.scheduler.timesteps.tolist().index(times[-1]) not in full)
    times = []
    handle = pipe.unet.register_forward_pre_hook(lambda unet, args: times.append(int(args[1])))
    try:
        return latents(pipe, **kwargs)
    finally:
        handle.remove()
        replaced.remove()


class TestSkipTuning:
    def test_factors(self):
        assert factors(5, 0.8, 1.0) == pytest.approx([0.8, 0.85, 0.9, 0.95, 1.0])
        assert factors(1, 0.8, 1.0) == [0.8]

    def test_hooks_by_hand(self):
        """The skip is the second part of what an up-path resnet joins; a Stable Diffusion has twelve, the deepest first."""
        unet = tiny.build_sd_unet()
        widths = [32, 32, 32, 32, 32, 32, 32, 16, 16, 16, 8, 8]  # of h
        resnets = [resnet for stage in unet.up_blocks for resnet in stage.resnets]
        handles = []
        for i, (resnet, width) in enumerate(zip(resnets, widths, strict=True)):
            rho = 0.7 + i * 0.2 / 11

            def scale(module, args, width=width, rho=rho):
                return (torch.cat([args[0][:, :width], args[0][:, width:] * rho], 1), *args[1:])

            handles.append(resnet.register_forward_pre_hook(scale))
        expected = predict(unet)
        for handle in handles:
            handle.remove()
        method = METHODS["skip-tuning"]
        with method.apply(unet, method.settings(bottom=0.7, top=0.9), Drawing(1)):
            torch.testing.assert_close(predict(unet), expected, atol=1e-5, rtol=1e-4)


class TestFasterDiffusion:
    def test_key_steps_are_the_authors_at_50_steps(self):
        assert sorted(FasterDiffusion().keys(50)) == [0, 1, 2, 3, 5, 10, 15, 25, 35]
        assert sorted(FasterDiffusion().keys(20)) == [0, 1, 2, 4, 6, 10, 14]
        assert sorted(FasterDiffusion().keys(3)) == [0, 1, 2]

    @pytest.mark.parametrize(
        "pipe, together",
        [("sd", 1), ("sd", 2), ("sd", 50), ("sdxl", 2)]
        + [pytest.param("sdxl", together, marks=pytest.mark.thorough) for together in (1, 50)],
        indirect=["pipe"],
    )
    def test_hooks_by_hand(self, pipe, together):
        unet = pipe.unet
        expected = by_hand(pipe, [unet.conv_in, *unet.down_blocks, unet.mid_block], {0, 3}, steps=6)
        with apply("faster-diffusion", pipe, key_steps=[1, 4], noise=0, together=together) as report:
            assert far(latents(pipe, steps=6), expected) < 1e-4
        assert report.figures["encoder calls saved"] == 4
        assert report.figures["decoder calls saved"] == {1: 0, 2: 2, 50: 4}[together]

    @pytest.mark.parametrize(
        "name", ["Heun", *(pytest.param(name, marks=pytest.mark.thorough) for name in ("PNDM", "Euler"))]
    )
    def test_together_is_one_by_one_with_other_schedulers(self, sd_pipe, name):
        with_scheduler(sd_pipe, name)
        with apply("faster-diffusion", sd_pipe) as one:
            expected = latents(sd_pipe, steps=6)
        with apply("faster-diffusion", sd_pipe, together=50) as at_once:
            assert far(latents(sd_pipe, steps=6), expected) < 1e-3
        assert one.figures["encoder calls saved"] == at_once.figures["encoder calls saved"] > 0
        assert at_once.figures["decoder calls saved"] > 0

    def test_noise_by_hand(self, sd_pipe):
        """With DDIM: z_t + 0.003 z_T wherever t < 500, before the scheduler's step."""
        keys, added = {0, 3}, []
        step = sd_pipe.scheduler.step

        def noisy(output, t, sample, **kwargs):
            added.append(sample)
            return step(output, t, sample + 0.003 * added[0] if t < 500 else sample, **kwargs)

        noisy.__signature__ = __import__("inspect").signature(step)
        unet = sd_pipe.unet
        sd_pipe.scheduler.step = noisy
        expected = by_hand(sd_pipe, [unet.conv_in, *unet.down_blocks, unet.mid_block], keys, steps=6)
        del sd_pipe.scheduler.step
        with apply("faster-diffusion", sd_pipe, key_steps=[1, 4]) as report:
            assert far(latents(sd_pipe, steps=6), expected) < 1e-5
        assert report.figures["steps with noise added"] == 3

    def test_noise_at_another_scale(self, sd_pipe):
        """Euler keeps latents with the variance 1 + sigma^2, and takes the noise at that scale."""
        with_scheduler(sd_pipe, "Euler")
        pictures = []
        for noise in (0.0, 0.003):
            with apply("faster-diffusion", sd_pipe, noise=noise, below=0.2):
                pictures.append(latents(sd_pipe, steps=10))
        assert 0 < far(*pictures) < 0.1


class TestInheritance:
    def test_hooks_by_hand(self, sd_pipe):
        """Branch 1 of a Stable Diffusion: the first convolution and layer, and the last two layers, are computed."""
        unet = sd_pipe.unet
        first, last = unet.down_blocks[0], unet.up_blocks[-1]
        modules = [first.resnets[1], first.attentions[1], *first.downsamplers, *unet.down_blocks[1:], unet.mid_block]
        modules += [*unet.up_blocks[:-1], last.resnets[0], last.attentions[0]]
        expected = by_hand(sd_pipe, modules, {0, 2, 4}, steps=6)
        with apply("inherit", sd_pipe, interval=2, branch=1) as report:
            assert far(latents(sd_pipe, steps=6), expected) == 0
        assert report.figures["of these without the deep part"] == 3
        with apply("inherit", sd_pipe, full_steps=[3, 5], branch=1):
            assert far(latents(sd_pipe, steps=6), expected) == 0

    @pytest.mark.parametrize(
        "interval, branch",
        [
            pytest.param(*case, marks=() if case in ((2, 1), (3, 5)) else pytest.mark.thorough)
            for case in product([2, 3], [0, 1, 2, 3, 5])
        ],
    )
    def test_the_deepcache_package(self, pipe, interval, branch):
        deepcache = pytest.importorskip("DeepCache.extension.deepcache", reason="DeepCache is not installed")
        helper = deepcache.DeepCacheSDHelper(pipe=pipe)
        helper.set_params(cache_interval=interval, cache_branch_id=branch)
        helper.enable()
        expected = draw(pipe, steps=6)
        helper.disable()
        with apply("inherit", pipe, interval=interval, branch=branch):
            assert far(draw(pipe, steps=6), expected) < 1e-4

    def test_flops_saved_are_those_of_what_is_skipped(self, sd_pipe):
        """Call the modules that branch 0 skips with what they are called with, and count."""
        unet = sd_pipe.unet
        last = unet.up_blocks[-1]
        modules = [*unet.down_blocks, unet.mid_block, *unet.up_blocks[:-1]]
        modules += [layer for i in (0, 1) for layer in (last.resnets[i], last.attentions[i])]
        calls = {}
        handles = [
            module.register_forward_pre_hook(
                lambda m, args, kwargs: calls.__setitem__(m, (args, kwargs)), with_kwargs=True
            )
            for module in modules
        ]
        drawn = flops(lambda: latents(sd_pipe, steps=6))
        for handle in handles:
            handle.remove()
        with torch.no_grad():
            skipped = flops(lambda: [module(*args, **kwargs) for module, (args, kwargs) in calls.items()])
        with apply("inherit", sd_pipe, interval=3):
            assert drawn - flops(lambda: latents(sd_pipe, steps=6)) == 4 * skipped


class TestTGate:
    def test_a_loop_by_hand(self, sd_pipe):
        """DDIM written out: guidance up to the gate, then the prompt's half alone with the mean of cross-attention."""
        unet, scheduler = sd_pipe.unet, sd_pipe.scheduler
        arguments = dict(device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=True)
        prompt, negative = sd_pipe.encode_prompt("a red apple on table", negative_prompt="low quality", **arguments)
        attentions = [layer.attn2 for layer in unet.modules() if isinstance(layer, BasicTransformerBlock)]
        replaced = Replaced(attentions)
        scheduler.set_timesteps(5)
        x = torch.randn(1, 4, tiny.SAMPLE, tiny.SAMPLE, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            for i, t in enumerate(scheduler.timesteps):
                if i < 2:
                    both = unet(torch.cat([x, x]), t, torch.cat([negative, prompt]), return_dict=False)[0]
                    eps = both[:1] + 3.0 * (both[1:] - both[:1])
                else:
                    eps = unet(x, t, prompt, return_dict=False)[0]
                if i == 1:
                    replaced.kept = {m: (kept[:1] + kept[1:]) / 2 for m, kept in replaced.kept.items()}
                    replaced.again = lambda: True
                x = scheduler.step(eps, t, x, return_dict=False)[0]
        replaced.remove()
        with apply("tgate", sd_pipe, gate=0.4) as report:
            assert far(latents(sd_pipe, steps=5), x) < 1e-4
        assert report.figures["of these without guidance"] == 3
        assert report.figures["cross-attention calls saved"] == 3 * len(attentions)

    @pytest.mark.thorough
    @pytest.mark.parametrize("pipe", ["sd", "sdxl"], indirect=True)
    def test_flops(self, pipe):
        whole = flops(lambda: latents(pipe, steps=5))
        with apply("tgate", pipe):
            assert flops(lambda: latents(pipe, steps=5)) < 0.7 * whole  # 3 of 5 steps at half the batch

    def test_without_guidance_it_keeps_what_it_saw(self, sd_pipe):
        attentions = [layer.attn2 for layer in sd_pipe.unet.modules() if isinstance(layer, BasicTransformerBlock)]
        expected = by_hand(sd_pipe, attentions, {0, 1}, steps=5, guidance=0.0)
        with apply("tgate", sd_pipe, guidance=0.0):
            assert far(latents(sd_pipe, steps=5, guidance=0.0), expected) == 0


class TestDeis:
    @pytest.mark.parametrize("order", [2, *(pytest.param(order, marks=pytest.mark.thorough) for order in (1, 3))])
    def test_it_is_diffusers(self, sd_pipe, order):
        before = sd_pipe.scheduler
        with apply("deis", sd_pipe, order=order):
            ours = draw(sd_pipe, steps=8)
        sd_pipe.scheduler = DEISMultistepScheduler.from_config(before.config, solver_order=order)
        assert (draw(sd_pipe, steps=8) == ours).all()

    def test_a_schedule_that_ends_in_pure_noise(self, sd_pipe):
        scheduler = type(sd_pipe.scheduler).from_config(
            sd_pipe.scheduler.config, rescale_betas_zero_snr=True, prediction_type="v_prediction"
        )
        found = deis_like(scheduler, 2)
        torch.testing.assert_close(
            found.alphas_cumprod[:-1], scheduler.alphas_cumprod[:-1].float(), rtol=1e-3, atol=1e-6
        )
        sd_pipe.scheduler = scheduler
        with apply("deis", sd_pipe):
            assert np.isfinite(draw(sd_pipe, steps=8)).all()

    @pytest.mark.parametrize("kind", ["LCMScheduler", "FlowMatchEulerDiscreteScheduler", "EDMEulerScheduler"])
    def test_schedulers_that_it_cannot_stand_for(self, sd_pipe, kind):
        scheduler = sd_pipe.scheduler = getattr(__import__("diffusers"), kind)()
        with pytest.raises(ValueError, match=r"^DEIS cannot take the place of [^\n]+\.$"), apply("deis", sd_pipe):
            pass
        assert sd_pipe.scheduler is scheduler


class TestTokenMerging:
    def test_matching_by_hand(self):
        """Four tokens in two cells; the one that is most like a kept token is merged into it."""
        x = torch.tensor([[[1.0, 0.0], [0.6, 0.8], [0.0, 1.0], [0.1, 1.0]]])
        restore, k = matching(x, torch.tensor([0, 2]), r=1)
        assert k == 3
        assert restore.tolist() == [[1, 0, 2, 2]]
        y = merged(x, restore, k)
        torch.testing.assert_close(y, torch.tensor([[[0.6, 0.8], [1.0, 0.0], [0.05, 1.0]]]))
        torch.testing.assert_close(parted(y, restore)[0, [2, 3]], torch.tensor([[0.05, 1.0]] * 2))

    def test_cells_of_a_grid_that_they_do_not_divide(self):
        assert cells(5, 4, 2, None).tolist() == [0, 2, 8, 10]
        offsets = torch.tensor([[0, 1], [2, 3]])
        assert cells(4, 4, 2, offsets).tolist() == [0, 3, 12, 15]

    @pytest.mark.parametrize(
        "ratio, downsample, stride",
        [
            (0.3, 2, 2),
            (0.5, 2, 4),
            *(pytest.param(*case, marks=pytest.mark.thorough) for case in ((0.5, 1, 2), (0.75, 4, 2))),
        ],
    )
    def test_the_tomesd_package(self, sd_pipe, ratio, downsample, stride):
        tomesd = pytest.importorskip("tomesd", reason="tomesd is not installed")
        options = dict(max_downsample=downsample, sx=stride, sy=stride, use_rand=False)
        tomesd.apply_patch(sd_pipe, ratio=ratio, **options)
        expected = draw(sd_pipe, steps=4)
        tomesd.remove_patch(sd_pipe)
        with apply("tomesd", sd_pipe, ratio=ratio, downsample=downsample, stride=stride, random=False):
            assert far(draw(sd_pipe, steps=4), expected) < 1e-4

    def test_the_package_on_sdxl(self, sdxl_pipe):
        tomesd = pytest.importorskip("tomesd", reason="tomesd is not installed")
        tomesd.apply_patch(sdxl_pipe, ratio=0.5, max_downsample=2, use_rand=False)
        expected = draw(sdxl_pipe, steps=4)
        tomesd.remove_patch(sdxl_pipe)
        with apply("tomesd", sdxl_pipe, random=False):
            assert far(draw(sdxl_pipe, steps=4), expected) < 1e-4

    def test_flops(self, sd_pipe):
        unet = sd_pipe.unet
        whole = flops(lambda: predict(unet))
        layers = [layer for name, layer in unet.named_modules() if name.endswith("attn1") and ("down_blocks.0" in name or "up_blocks.3" in name)]  # fmt: skip
        n, channels = 256, 8
        saved = len(layers) * 2 * 2 * (4 * (n // 2) * channels**2 + 2 * (n**2 - (n // 2) ** 2) * channels)
        matched = len(layers) * 2 * 2 * (3 * n // 4) * (n // 4) * channels
        with apply("tomesd", sd_pipe):
            sd_pipe.scheduler.set_timesteps(2)
            _, _, text = inputs(unet)
            less = flops(lambda: predict(unet, inputs(unet)[0], sd_pipe.scheduler.timesteps[0], text))
        assert whole - less == saved - matched


class TestAtEdm:
    def test_map_and_ranking_by_hand(self):
        q, k = torch.randn(1, 4, 6), torch.randn(1, 4, 6)
        expected = np.zeros((4, 4))
        for h in range(2):
            a, b = (x[0, :, 3 * h : 3 * h + 3].double().numpy() for x in (q, k))
            rows = np.exp(a @ b.T / np.sqrt(3))
            expected += rows / rows.sum(1, keepdims=True) / 2
        found = attention_map(q, k, 2)
        np.testing.assert_allclose(found[0], expected, rtol=1e-5)
        s = np.full(4, 0.25)
        for _ in range(3):
            s = np.array([sum(expected[i, j] * s[i] for i in range(4)) for j in range(4)])
        np.testing.assert_allclose(page_rank(found, 3)[0], s, rtol=1e-5)

    def test_pruning_by_hand(self):
        attention = torch.tensor(
            [[[0.1, 0.6, 0.2, 0.1], [0.1, 0.5, 0.1, 0.3], [0.0, 0.3, 0.6, 0.1], [0.3, 0.4, 0.2, 0.1]]]
        )
        kept, restore = pruned(attention, 2, iterations=1)
        assert kept.tolist() == [[1, 2]]  # the columns' sums: .5, 1.8, 1.1, .6
        # token 0 is attended by token 1 with .1 and by token 2 with 0; token 3 with .3 and .1
        assert restore.tolist() == [[0, 0, 1, 0]]

    @pytest.mark.parametrize("fraction, early", [(0.63, 0.0), (0.3, 0.0), (0.5, 1.0)])
    def test_between_layers_by_hand(self, sdxl_pipe, fraction, early):
        """Tiny SDXL has two layers in its deepest blocks: prune after the first, restore after the second."""
        unet = sdxl_pipe.unet
        handles = []
        for name, stage in (("down", unet.down_blocks[2]), ("mid", unet.mid_block), ("up", unet.up_blocks[0])):
            for number, transformer in enumerate(stage.attentions):
                spared = (name == "down" and number == 0) or (name == "up" and number == 2)
                if early and spared:
                    continue
                seen, (first, second) = {}, transformer.transformer_blocks

                def see(module, args, output, seen=seen, key=None):
                    seen[module] = output

                def prune(module, args, output, seen=seen, first=first):
                    n = output.shape[1]
                    attention = attention_map(seen[first.attn1.to_q], seen[first.attn1.to_k], first.attn1.heads)
                    rank = attention.double().sum(1)  # one iteration of A^T from equal scores, up to a factor
                    for _ in range(4):
                        rank = torch.einsum("bij,bi->bj", attention.double(), rank)
                    keep = n - int(n * fraction)
                    short, seen["source"] = [], []
                    for b in range(len(output)):
                        best = sorted(torch.argsort(rank[b], descending=True)[:keep].tolist())
                        short.append(output[b, best])
                        source = []
                        for token in range(n):
                            column = [attention[b, i, token].item() for i in best]
                            source.append(best.index(token) if token in best else int(np.argmax(column)))
                        seen["source"].append(source)
                    return torch.stack(short)

                def restore(module, args, output, seen=seen):
                    return torch.stack([output[b, source] for b, source in enumerate(seen["source"])])

                for projection in (first.attn1.to_q, first.attn1.to_k):
                    handles.append(projection.register_forward_hook(see))
                handles += [first.register_forward_hook(prune), second.register_forward_hook(restore)]
        expected = latents(sdxl_pipe, steps=2)
        for handle in handles:
            handle.remove()
        with apply("at-edm", sdxl_pipe, fraction=fraction, early=early):
            assert far(latents(sdxl_pipe, steps=2), expected) < 1e-4

    def test_flops_within_a_layer(self, sd_pipe):
        """Half of the tokens: half of the feed-forward, less what the map itself costs."""
        unet = sd_pipe.unet
        whole = flops(lambda: predict(unet))
        saved = 0
        for layer in (module for module in unet.modules() if isinstance(module, BasicTransformerBlock)):
            channels = layer.norm1.normalized_shape[0]
            n = {8: 256, 16: 64}.get(channels, 16)
            if channels == 32 and layer in list(unet.mid_block.modules()):
                n = 4
            half, words = n - n // 2, 5
            saved += 2 * 2 * (n - half) * (12 * channels**2 + 2 * channels**2 + 2 * words * channels)
            saved -= 2 * 2 * n * n * channels + 5 * 2 * 2 * n * n
        with apply("at-edm", sd_pipe, scope="within", fraction=0.5, early=0):
            sd_pipe.scheduler.set_timesteps(2)
            less = flops(lambda: predict(unet, inputs(unet)[0], sd_pipe.scheduler.timesteps[0], inputs(unet)[2]))
        assert whole - less == saved
