"""Gemma 1 to 3: llama with scaled embeddings, then with norms behind and windows."""
