"""GPT-2, Neo, NeoX and J: LayerNorms and plain MLPs."""
