"""Llama and what descends from it: RMSNorms, rotary positions, gated MLPs."""
