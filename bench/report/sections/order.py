"""The sections in the order of the page. This loads what draws, which takes a second."""

from bench.report.sections.accuracy import accuracy
from bench.report.sections.answer import answer
from bench.report.sections.cells import cells
from bench.report.sections.claims import claims
from bench.report.sections.definitions import definitions
from bench.report.sections.environment import environment
from bench.report.sections.leaderboard import leaderboard
from bench.report.sections.ranks import ranks
from bench.report.sections.scaling import scaling
from bench.report.sections.section import Section
from bench.report.sections.titles import TITLES
from bench.report.sections.tradeoff import tradeoff
from bench.report.sections.trust import trust
from bench.report.sections.why import why

_QUICK = (answer, leaderboard, cells, definitions, environment)
_SLOW = (claims, tradeoff, scaling, accuracy, ranks, why, trust)
_CONTENTS = {content.__name__: content for content in (*_QUICK, *_SLOW)}

SECTIONS = tuple(
    Section(name, title, _CONTENTS[name], is_slow=_CONTENTS[name] in _SLOW) for name, title in TITLES.items()
)
