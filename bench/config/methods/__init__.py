"""Training rules, by name: one row each.

A row names its code as ``"package.module:function"`` where that needs torch, which the process that plans a sweep does
not load. A file here holds the rows of one family; each file in ``peers`` holds those of one peer of SID and BP.
"""

from bench.config.methods.bp import BASELINE as BASELINE
from bench.config.methods.bp import FIXED_WORK as FIXED_WORK
from bench.config.methods.bp import PLAIN as PLAIN
from bench.config.methods.method import Code as Code
from bench.config.methods.method import Method as Method
from bench.config.methods.method import Setting as Setting
from bench.config.methods.registry import GROUP as GROUP
from bench.config.methods.registry import from_module as from_module
from bench.config.methods.registry import is_compiled as is_compiled
from bench.config.methods.registry import is_of_bp as is_of_bp
from bench.config.methods.registry import is_of_sid as is_of_sid
from bench.config.methods.registry import known_method as known_method
from bench.config.methods.registry import load_method as load_method
from bench.config.methods.registry import method_names as method_names
from bench.config.methods.registry import peer_names as peer_names
from bench.config.methods.registry import rule_of as rule_of
