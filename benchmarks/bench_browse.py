"""What a click costs on pages over SAEs of 18,432 latents, in Chromium without a screen.

python -m benchmarks.bench_browse      (adds a line to results/browse.jsonl)
"""

import json
import re
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from websockets.sync.client import connect

from benchmarks.shared import RESULTS, machine, write_unit
from generation.configs.add import AddConfig
from generation.external.add import add
from studies.browse.config import BrowseConfig
from studies.browse.write import browse
from tests.studies.random_saes import write_plain

LATENTS, K, D_IN, SEEDS, TOKENS, REPEATS = 18_432, 32, 256, 2, 30_000, 9
BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
TIMED = """(async () => {
  const drawn = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 0)));
  const until = async (ready) => { while (!ready()) await new Promise((done) => setTimeout(done, 1)); };
  const seconds = {};
  const time = async (name, act, ready) => {
    await drawn();
    const begun = performance.now();
    act();
    await until(ready);
    await drawn();
    (seconds[name] ??= []).push(performance.now() - begun);
  };
  const status = () => document.querySelector("[role=status]")?.textContent ?? "";
  const field = () => document.getElementById("query");
  const type = (text) => { field().value = text; field().dispatchEvent(new Event("input")); };
  const heading = () => document.querySelector("h1")?.textContent ?? "";
  await until(() => status().includes("of"));
  for (let turn = 0; turn < REPEATS; turn++) {
    const column = ["noise", "max", "density"][turn % 3];
    await time("sort by a column", () => document.getElementById(`sort-${column}`).click(),
      () => document.getElementById(`sort-${column}`).closest("th").hasAttribute("aria-sort"));
    const before = status();
    await time("next screen", () => document.getElementById("later").click(), () => status() !== before);
    const all = status();
    await time("search for a letter", () => type("e"), () => status() !== all);
    const some = status();
    await time("search for a word", () => type("the"), () => status() !== some);
    type("");
    const latent = 2048 * turn + 777;
    await time("open a latent", () => { location.hash = `#0/${latent}`; }, () => heading().endsWith(` ${latent}`));
    await time("next latent", () => [...document.querySelectorAll("a")].find((one) => one.textContent === "next").click(),
      () => heading().endsWith(` ${latent + 1}`));
    await time("back to the list", () => { location.hash = ""; }, () => status().includes("of"));
    const other = String(turn % 2 ? 0 : 1);
    const select = document.getElementById("sae");
    await time("another SAE", () => { select.value = other; select.dispatchEvent(new Event("change")); },
      () => document.querySelector("td a")?.getAttribute("href").startsWith(`#${other}/`));
  }
  return seconds;
})()""".replace("REPEATS", str(REPEATS))


def main() -> None:
    """Make the pages, open them, click."""
    with tempfile.TemporaryDirectory() as root:
        run = Path(root) / "runs" / "wide"
        corpus = run / "corpora" / "prose"
        add(AddConfig("prose", model="tiny", tokens=2 * TOKENS, out=corpus))
        for seed in range(SEEDS):
            folder = run / "saes" / "prose" / "wide" / f"seed-{seed}"
            write_plain(folder, D_IN, LATENTS, K, seed, model_name="tiny", hook_name="blocks.2.hook_resid_pre")
        begun = time.perf_counter()
        done = browse(BrowseConfig(run, corpora=(corpus,), model="tiny", tokens=TOKENS, device="cpu"))
        seconds = time.perf_counter() - begun
        print(f"{SEEDS} SAEs of {LATENTS:,} latents: {done.bytes / 1e6:.1f} MB in {seconds:.0f} s")
        found: dict[str, Any] = {"bytes": done.bytes, "seconds": seconds, "milliseconds": {}}
        with opened(done.page.resolve().as_uri(), Path(root)) as ask:
            for name, values in ask(TIMED).items():
                found["milliseconds"][name] = [round(value, 1) for value in values]
                print(f"{name:22} median {statistics.median(values):6.1f} ms, largest {max(values):6.1f}")
    key = {"latents": LATENTS, "k": K, "saes": SEEDS, "tokens": TOKENS, "repeats": REPEATS}
    at = time.strftime("%Y-%m-%d %H:%M")
    write_unit(RESULTS / "browse.jsonl", {"key": key, "result": found, "machine": machine(), "at": at})


@contextmanager
def opened(address: str, root: Path) -> Iterator[Any]:
    """A page in the browser; what is given evaluates a script there and returns what it promises."""
    if BROWSER is None:
        raise SystemExit("There is no Chromium here.")
    words = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0"]
    browser = subprocess.Popen([*words, f"--user-data-dir={root / 'profile'}"], stderr=subprocess.PIPE, text=True)
    try:
        assert browser.stderr is not None
        port = next(found[1] for line in browser.stderr if (found := re.search(r"ws://127.0.0.1:(\d+)/", line)))
        with urlopen(Request(f"http://127.0.0.1:{port}/json/new?{address}", method="PUT")) as answer:
            place = json.load(answer)["webSocketDebuggerUrl"]
        with connect(place, max_size=None) as socket:

            def evaluate(script: str) -> Any:
                wish = {"expression": script, "awaitPromise": True, "returnByValue": True}
                socket.send(json.dumps({"id": 1, "method": "Runtime.evaluate", "params": wish}))
                while (said := json.loads(socket.recv(timeout=300))).get("id") != 1:
                    pass
                if "exceptionDetails" in said["result"]:
                    raise SystemExit(json.dumps(said["result"]["exceptionDetails"]))
                return said["result"]["result"]["value"]

            yield evaluate
    finally:
        browser.kill()
        browser.wait()


if __name__ == "__main__":
    main()
