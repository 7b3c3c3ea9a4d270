"""How the values of a site are distributed, layer by layer and group by group."""
