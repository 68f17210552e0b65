"""The sections in the order of the page."""

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
from bench.report.sections.tradeoff import tradeoff
from bench.report.sections.trust import trust
from bench.report.sections.why import why

SECTIONS = (
    Section("answer", "Answer", answer),
    Section("claims", "Claims", claims, is_slow=True),
    Section("leaderboard", "Leaderboard", leaderboard),
    Section("tradeoff", "Memory against time", tradeoff, is_slow=True),
    Section("scaling", "Scaling", scaling, is_slow=True),
    Section("accuracy", "Accuracy", accuracy, is_slow=True),
    Section("ranks", "Several ranks", ranks, is_slow=True),
    Section("why", "Where bytes and time go", why, is_slow=True),
    Section("trust", "Reliability", trust, is_slow=True),
    Section("cells", "All cells", cells),
    Section("definitions", "Definitions", definitions),
    Section("environment", "Environment", environment),
)
