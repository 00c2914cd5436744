"""Many hostile connections at once, in small; `make hostile` is the large one (flood.py)."""

import flood
from lib import alone, turns_red


@alone
@turns_red("limits-are-off", "mail-is-lost")
def test_a_flood_of_hostile_connections_costs_no_more_than_the_limits_say():
    flood.flood(1500)
