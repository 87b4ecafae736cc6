"""The samples of a run as one page: a slider over its checkpoints, the control beside it, what was said of each.

One file: pictures as data, no network, nobody else's script; without any script it is a strip that can be read.
"""

import base64
import html
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template

from palate.cooking.inflection import Proposal
from palate.cooking.sampled import Sample
from palate.cooking.tastings import Word
from palate.errors import InputError

MOST_CURVES = 6
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")

WIDE, HIGH = 240, 48
"""Size of a curve, in the units of its own drawing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Strip:
    """What the page shows of one run.

    Attributes:
        name: of the run.
        samples: by step.
        words: what holds of what was said.
        proposal: where to look, if anything breaks away.
    """

    name: str
    samples: Sequence[Sample]
    words: Sequence[Word]
    proposal: Proposal | None = None


def write_strip(run: Strip, control: Strip | None, path: Path) -> None:
    """Write the page.

    Args:
        run: whose samples.
        control: whose samples stand beside them.
        path: the file.

    Raises:
        InputError: the file cannot be written.
    """
    try:
        path.write_text(strip_page(run, control), encoding="utf-8", errors="replace")
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}.") from error


def strip_page(run: Strip, control: Strip | None = None) -> str:
    """Return the page."""
    beside = "" if control is None else _figures("control", control)
    return Template(_PAGE).substitute(
        title=html.escape(run.name),
        control_name="" if control is None else f" beside {html.escape(control.name)}",
        count=_count(run),
        proposal="" if run.proposal is None else f'<p class="proposal">{html.escape(run.proposal.words)}</p>',
        curves=_curves(run.samples),
        figures=_figures("run", run),
        control="" if control is None else f"<h2>{html.escape(control.name)}</h2>{beside}",
        table=_table(run),
        style=_STYLE,
        script=_SCRIPT,
        run_name=html.escape(run.name),
        beside_name="" if control is None else html.escape(control.name),
        more="" if control is None else '<figure><div id="control-view"></div><figcaption></figcaption></figure>',
    )


def _count(run: Strip) -> str:
    if not run.samples:
        return "no samples"
    first, last = run.samples[0].step, run.samples[-1].step
    plural = "s" if len(run.samples) != 1 else ""
    return f"{len(run.samples)} sample{plural}, steps {first:,} to {last:,}"


def _figures(group: str, run: Strip) -> str:
    newest = run.samples[-1].step if run.samples else -1
    figures = "".join(_figure(group, sample, run, is_newest=sample.step == newest) for sample in run.samples)
    return f'<div class="strip" id="{group}">{figures}</div>'


def _figure(group: str, sample: Sample, run: Strip, *, is_newest: bool) -> str:
    file = sample.picture()
    alt = f"samples at step {sample.step}"
    seen = ""
    if file is not None:
        seen = f'<img alt="{alt}" src="data:image/png;base64,{base64.b64encode(file).decode()}"{_pixelated(sample)}>'
    elif sample.layout is not None:
        seen = '<p class="fault">The picture is missing, or is not the one that was written.</p>'
    texts = "".join(f"<pre>{_visible(text)}</pre>" for text in sample.texts)
    faults = "".join(f'<p class="fault">{html.escape(_last_line(fault))}</p>' for fault in sample.faults)
    is_proposed = run.proposal is not None and run.proposal.step == sample.step
    proposed = '<span class="chip quiet">proposed: look here</span>' if is_proposed else ""
    newest = ' <span class="quiet">newest</span>' if is_newest else ""
    return (
        f'<figure id="{group}-{sample.step}" data-step="{sample.step}" tabindex="-1">{seen}{texts}<figcaption>'
        f"<b>step {sample.step:,}</b>{newest} {proposed}{_chips(run.words, sample.step)}"
        f"<span class=metrics>{_metrics(sample)}</span>{faults}</figcaption></figure>"
    )


def _visible(text: str) -> str:
    """Return text as HTML, with controls as their pictures: a browser shows nothing, or turns the text round."""
    shown = _CONTROL.sub(lambda hit: chr(0x2400 + ord(hit[0])) if hit[0] < " " else f"\\u{ord(hit[0]):04x}", text)
    return html.escape(shown)


def _pixelated(sample: Sample) -> str:
    """Return the style of images that are smaller than what they are shown at: pixels are part of what is tasted."""
    small = sample.layout is not None and sample.layout.cell_width < 96
    return ' class="small"' if small else ""


def _last_line(text: str) -> str:
    return next((line for line in reversed(text.splitlines()) if line.strip()), "")


def _metrics(sample: Sample) -> str:
    return " ".join(
        f"<span><i>{html.escape(name)}</i> {html.escape(f'{value:.4g}')}</span>"
        for name, value in sample.metrics.items()
    )


def _chips(words: Iterable[Word], step: int) -> str:
    kinds = {"last_good": ("good", "★ last good one"), "grade": ("grade", "grade "), "tag": ("tag", "")}
    return "".join(
        f'<span class="chip {kinds[word.kind][0]}" title="{html.escape(word.author)}">'
        f"{kinds[word.kind][1]}{html.escape(word.value)}</span>"
        for word in words
        if word.step == step and word.kind in kinds
    )


def _curves(samples: Sequence[Sample]) -> str:
    """Return a small curve of each metric over the steps, which the slider marks a place on."""
    names = list(dict.fromkeys(name for sample in samples for name in sample.metrics))[:MOST_CURVES]
    drawn = (_curve(name, [(one.step, one.metrics[name]) for one in samples if name in one.metrics]) for name in names)
    return "".join(drawn)


def _curve(name: str, points: Sequence[tuple[int, float]]) -> str:
    finite = [(step, value) for step, value in points if math.isfinite(value)]
    if len(finite) < 2:
        return ""
    steps, values = zip(*finite, strict=True)
    low, high = min(values), max(values)
    across = (steps[-1] - steps[0]) or 1
    places = [
        f"{(step - steps[0]) / across * WIDE:.1f},{HIGH - 4 - (value - low) / ((high - low) or 1) * (HIGH - 8):.1f}"
        for step, value in finite
    ]
    return (
        f'<figure class="curve" data-first="{steps[0]}" data-across="{across}"><figcaption><b>{html.escape(name)}</b>'
        f" {low:.4g} to {high:.4g}</figcaption>"
        f'<svg viewBox="0 0 {WIDE} {HIGH}" preserveAspectRatio="none" role="img"'
        f' aria-label="{html.escape(name)} from {values[0]:.4g} to {values[-1]:.4g}">'
        f'<polyline points="{" ".join(places)}"/><line class="here" x1="-9" x2="-9" y1="0" y2="{HIGH}"/></svg></figure>'
    )


def _table(run: Strip) -> str:
    names = list(dict.fromkeys(name for sample in run.samples for name in sample.metrics))
    head = "".join(f"<th>{html.escape(name)}</th>" for name in names)
    rows = []
    for sample in run.samples:
        cells = "".join(
            f"<td>{html.escape(f'{sample.metrics[n]:.6g}') if n in sample.metrics else ''}</td>" for n in names
        )
        said = "; ".join(
            f"{word.kind.replace('_', ' ')} {word.value} ({word.author})".replace("  ", " ")
            for word in run.words
            if word.step == sample.step and word.kind != "preference"
        )
        rows.append(f"<tr><th>{sample.step:,}</th>{cells}<td>{html.escape(said)}</td></tr>")
    return f"<thead><tr><th>step</th>{head}<th>said of it</th></tr></thead><tbody>{''.join(rows)}</tbody>"


_STYLE = """
:root{color-scheme:light dark;--ink:#1d2733;--quiet:#5a6775;--paper:#fbfaf7;--card:#fff;--edge:#dcd9d0;
--accent:#2f6690;--good:#1f7a4d;--tag:#8a4b10;--fault:#a32020}
@media (prefers-color-scheme:dark){:root{--ink:#e8e6e1;--quiet:#a3abb5;--paper:#15181c;--card:#1e2329;--edge:#353c45;
--accent:#7fb7e0;--good:#6fd0a0;--tag:#e5aa6b;--fault:#ff9a94}}
*{box-sizing:border-box}
body{font:15px/1.5 system-ui,sans-serif;margin:0 auto;max-width:84rem;padding:1.5rem;color:var(--ink);
background:var(--paper)}
h1{font-size:1.35rem;margin:0;overflow-wrap:anywhere}h2{font-size:1.05rem;margin:2rem 0 .6rem}
.quiet,figcaption i{color:var(--quiet);font-style:normal}figure{margin:0}
.proposal{border-left:4px solid var(--accent);background:var(--card);padding:.6rem .9rem;margin:1rem 0;
max-width:60rem}
.view{display:flex;gap:1.2rem;margin:1rem 0 .4rem;align-items:flex-start}
.view figure{flex:1 1 0;min-width:0;background:var(--card);border:1px solid var(--edge);border-radius:8px;
padding:.8rem}
.view img{display:block;width:100%;max-height:min(62vh,46rem);object-fit:contain}
.view figcaption{margin-top:.6rem}
img.small{image-rendering:pixelated}
.slide{display:flex;gap:.8rem;align-items:center;margin:.6rem 0 1rem}
.slide input{flex:1;accent-color:var(--accent)}.slide output{min-width:7.5rem;font-variant-numeric:tabular-nums;
font-weight:600}
.curves{display:grid;grid-template-columns:repeat(auto-fill,minmax(15rem,1fr));gap:1rem}
.curve svg{display:block;width:100%;height:48px;overflow:hidden}
.curve polyline{fill:none;stroke:var(--accent);stroke-width:1.6;vector-effect:non-scaling-stroke}
.curve .here{stroke:var(--ink);stroke-width:1;stroke-dasharray:3 3;vector-effect:non-scaling-stroke}
.strip{display:grid;grid-template-columns:repeat(auto-fill,minmax(13rem,1fr));gap:.9rem}
.strip figure{background:var(--card);border:1px solid var(--edge);border-radius:8px;padding:.6rem;min-width:0}
.strip figure.here{outline:3px solid var(--accent)}.strip img{display:block;width:100%;cursor:pointer}
.strip figcaption,.view figcaption{font-variant-numeric:tabular-nums;overflow-wrap:anywhere}
.strip figcaption{margin-top:.4rem}
.metrics{display:flex;flex-wrap:wrap;gap:0 .9rem;font-size:.9em}
.chip{display:inline-block;border:1px solid;border-radius:99px;padding:0 .55em;margin:0 .2em .2em 0;font-size:.82em}
.good{color:var(--good)}.grade{color:var(--accent)}.tag{color:var(--tag)}
.fault{color:var(--fault);margin:.3rem 0;font-size:.9em;overflow-wrap:anywhere}
pre{white-space:pre-wrap;overflow-wrap:anywhere;margin:.2rem 0;padding:.5rem;max-height:16rem;overflow:auto;
border:1px solid var(--edge);border-radius:6px;font-size:.88em}
.wide{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums}
td,th{padding:.2rem .8rem;text-align:left;border-bottom:1px solid var(--edge);white-space:nowrap}
summary{cursor:pointer;margin-top:2rem}
@media (max-width:44rem){.view{flex-direction:column}body{padding:1rem}.view figure{width:100%}}
"""

_SCRIPT = """
(function () {
  var figures = Array.from(document.querySelectorAll('#run figure'));
  var others = Array.from(document.querySelectorAll('#control figure'));
  if (!figures.length) return;
  var slider = document.getElementById('slider'), views = document.querySelectorAll('.view figure');
  function step(figure) { return Number(figure.dataset.step); }
  function nearest(wanted) {
    return others.reduce(function (best, one) {
      return Math.abs(step(one) - wanted) < Math.abs(step(best) - wanted) ? one : best;
    });
  }
  function fill(view, figure, name) {
    var seen = Array.from(figure.querySelectorAll('img,pre')).map(function (one) { return one.cloneNode(true); });
    view.firstElementChild.replaceChildren.apply(view.firstElementChild, seen);
    var caption = figure.querySelector('figcaption').cloneNode(true), whose = document.createElement('div');
    whose.className = 'quiet';
    whose.textContent = name;
    caption.prepend(whose);
    view.lastElementChild.replaceWith(caption);
  }
  function show(place) {
    var figure = figures[place];
    figures.forEach(function (one) { one.classList.toggle('here', one === figure); });
    slider.value = place;
    slider.setAttribute('aria-valuetext', 'step ' + figure.dataset.step);
    document.getElementById('at').textContent = 'step ' + step(figure).toLocaleString('en');
    fill(views[0], figure, slider.dataset.run);
    if (views[1] && others.length) {
      var other = nearest(step(figure));
      others.forEach(function (one) { one.classList.toggle('here', one === other); });
      fill(views[1], other, slider.dataset.control);
    }
    document.querySelectorAll('.curve').forEach(function (curve) {
      var line = curve.querySelector('.here'), at = (step(figure) - curve.dataset.first) / curve.dataset.across * 240;
      at = Math.min(Math.max(at, 1), 239);
      line.setAttribute('x1', at);
      line.setAttribute('x2', at);
    });
  }
  slider.max = figures.length - 1;
  slider.addEventListener('input', function () { show(Number(slider.value)); });
  figures.forEach(function (figure, place) {
    figure.addEventListener('click', function () {
      show(place);
      slider.focus({ preventScroll: true });
      document.getElementById('viewer').scrollIntoView({ block: 'start' });
    });
  });
  document.getElementById('viewer').hidden = false;
  show(figures.length - 1);
}());
"""

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>$title: samples</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<style>$style</style></head><body>
<main><h1>$title<span class="quiet">$control_name</span></h1><p class="quiet">$count</p>
$proposal
<section id="viewer" hidden aria-label="One checkpoint">
<div class="view"><figure><div id="run-view"></div><figcaption></figcaption></figure>$more</div>
<div class="slide"><input type="range" id="slider" min="0" value="0" step="1" aria-label="Checkpoint"
 data-run="$run_name" data-control="$beside_name"><output id="at" for="slider"></output></div>
</section>
<div class="curves">$curves</div>
<h2>All checkpoints</h2>
$figures
$control
<details><summary>As a table</summary><div class="wide"><table>$table</table></div></details>
</main>
<script>$script</script></body></html>
"""
