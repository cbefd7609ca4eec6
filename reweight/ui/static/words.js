// Names the words of the prompt that the model does not know, and puts clicked words where they belong.
(() => {
  const PAUSE = 500; // milliseconds without a key before anything is said
  const SHOWN = 4;

  const word = (phrases) => {
    const longestFirst = [...phrases].sort((a, b) => b.length - a.length);
    return `(?<!\\p{L})(?:${longestFirst.join("|")})(?!\\p{L})`;
  };
  const find = (text, phrases) => text.match(new RegExp(word(phrases), "iu"));
  const swap = (text, match, other) => text.slice(0, match.index) + other + text.slice(match.index + match[0].length);
  const known = () => document.querySelector(".rw-known");
  const vocabularyOf = (panel) => JSON.parse(panel.dataset.vocabulary);

  function unknown(prompt, { words }) {
    const said = prompt.toLowerCase().match(/(?<![\p{L}\p{N}])\p{L}+(?:['’]\p{L}+)?(?![\p{L}\p{N}])|\p{Extended_Pictographic}/gu) ?? [];
    const all = new Set(words);
    return [...new Set(said)].filter((one) => !all.has(one));
  }

  // The subjects that are spelt most like a word come first.
  function nearest(strange, subjects) {
    const pairs = [...strange].slice(1).map((letter, i) => strange[i] + letter);
    const alike = (subject) => pairs.filter((pair) => subject.includes(pair)).length / subject.length;
    return [...subjects].sort((a, b) => alike(b) - alike(a));
  }

  function notice(prompt, vocabulary, who) {
    const strange = unknown(prompt, vocabulary);
    if (!strange.length) return "";
    const named = strange.slice(0, SHOWN).map((one) => `“${one.slice(0, 30)}”`).join(", ");
    const more = strange.length > SHOWN ? ` and ${strange.length - SHOWN} more` : "";
    const near = nearest(strange[0], vocabulary.subjects).slice(0, SHOWN).join(", ");
    const rest = vocabulary.subjects.length - SHOWN;
    return `${who} does not know ${named}${more}; it knows ${near}${rest > 0 ? ` and ${rest} other subjects` : ""}.`;
  }

  // After the last subject, before a comma that follows it.
  function append(text, addition, { subjects }) {
    const last = [...text.matchAll(new RegExp(word(subjects), "giu"))].at(-1);
    const comma = last ? text.indexOf(",", last.index) : -1;
    const [scene, rest] = comma < 0 ? [text, ""] : [text.slice(0, comma), text.slice(comma)];
    return `${scene.trimEnd()} ${addition}${rest}`.trim();
  }

  function withoutStyle(text, { styles }) {
    for (const template of Object.values(styles).flat()) {
      const [before, after] = template.split("{}");
      const match = text.match(new RegExp(`^${before}(.*?)${after}((?:,.*)?)$`, "is"));
      if (match) return match[1] + match[2];
    }
    return text;
  }

  const putters = {
    subjects(text, name, vocabulary) {
      const strange = unknown(text, vocabulary)[0];
      const match = find(text, vocabulary.subjects) ?? (strange && find(text, [strange]));
      return match ? swap(text, match, name) : append(text, `a ${name}`, vocabulary);
    },
    colours(text, name, vocabulary) {
      const coloured = `(?:${word(vocabulary.colours)} +)?(${word(vocabulary.subjects)})`;
      const match = text.match(new RegExp(coloured, "iu"));
      if (match) return swap(text, match, `${name} ${match[1]}`);
      const colour = find(text, vocabulary.colours);
      return colour ? swap(text, colour, name) : append(text, name, vocabulary);
    },
    settings(text, name, vocabulary) {
      const match = find(text, Object.values(vocabulary.settings).flat());
      const phrase = vocabulary.settings[name][0];
      return match ? swap(text, match, phrase) : append(text, phrase, vocabulary);
    },
    styles(text, name, vocabulary) {
      const scene = withoutStyle(text, vocabulary).replace(/^An? /, (article) => article.toLowerCase());
      return vocabulary.styles[name][0].replace("{}", () => scene).trim();
    },
  };

  function put(prompt, group, name, vocabulary) {
    const text = putters[group](prompt.trim(), name, vocabulary);
    const nouns = word([...vocabulary.subjects, ...vocabulary.colours, ...vocabulary.sizes]);
    return text.replace(new RegExp(`(?<!\\p{L})(a)n? +(?=(${nouns}))`, "giu"), (_, a, next) =>
      `${a}${/^[aeiou]/i.test(next) ? "n" : ""} `,
    );
  }

  let pause;
  const tell = (prompt) => {
    const panel = known();
    document.querySelector("#unknown").textContent = panel ? notice(prompt, vocabularyOf(panel), panel.dataset.who) : "";
  };
  window.reweightPut = put;
  window.reweight?.on("prompt", (prompt) => {
    clearTimeout(pause);
    pause = setTimeout(() => tell(prompt), PAUSE);
  });

  document.addEventListener("click", (event) => {
    const chip = event.target.closest?.(".rw-chip");
    const box = document.querySelector("#prompt");
    if (chip && box) window.reweight.prompt(put(box.value, chip.dataset.group, chip.dataset.name, vocabularyOf(known())));
  });
})();
