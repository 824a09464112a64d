"""Bugs to put back into the kernel, one at a time: each is a change of a few words that the suite must notice."""

from bugs_elsewhere import HUGE_PAGES, REGIONS_AND_PINS, TAKING_AWAY
from bugs_of_2021 import BUGS_OF_2021
from bugs_of_sharing import BREAKING, SHARING

MUTANTS = [*BUGS_OF_2021, *SHARING, *BREAKING, *TAKING_AWAY, *REGIONS_AND_PINS, *HUGE_PAGES]

#: What random histories cannot see, and why.
BLIND = {
    "B10 the copy is installed before it is filled": "the model looks between steps only",
    "a kernel read copies the table": "what a break costs is not the model's business, and it would be right",
    "shared memory loses W at a break": "the same: another fault puts it back",
    "an sfork that fails leaves its child": "takes memory for the fork and none for a table more: has its own history",
    "an sfork that fails leaves its region": "the system call's doing, not the memory core's",
}
