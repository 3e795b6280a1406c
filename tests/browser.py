"""A page in a browser without a screen, opened from the disk, as tests look at it."""

import re
import shutil
import subprocess
from pathlib import Path

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SPY = (
    "<script>const wrong=[];window.addEventListener('error',e=>wrong.push(e.message),true);"
    "window.addEventListener('unhandledrejection',e=>wrong.push(String(e.reason)));"
    "document.addEventListener('securitypolicyviolation',e=>wrong.push(e.violatedDirective+' '+e.blockedURI));"
    "setInterval(()=>document.documentElement.dataset.wrong=wrong.join('; '),50)</script>"
)


def opened(page: Path, place: str = "", then: str = "") -> str:
    """What a page holds after it was opened at a place and a script was run in it; no error, and nothing from elsewhere.

    Args:
        page: whose rules must allow scripts of its own text; it is changed meanwhile.
        place: as `#0/3`.
        then: the script, two seconds after.
    """
    before = page.read_text(encoding="utf-8")
    watched = before.replace("<head>", f"<head>{SPY}")
    page.write_text(watched.replace("</body>", f"<script>setTimeout(()=>{{{then}}},2000)</script></body>"))
    try:
        done = subprocess.run(
            [str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={page.parent.parent / 'profile'}",
             "--virtual-time-budget=6000", "--dump-dom", f"{page.resolve().as_uri()}{place}"],
            capture_output=True, text=True, timeout=280, check=True,
        )  # fmt: skip
    finally:
        page.write_text(before)
    assert re.search(r'data-wrong=""', done.stdout), re.findall(r'data-wrong="[^"]*"', done.stdout)
    return done.stdout
