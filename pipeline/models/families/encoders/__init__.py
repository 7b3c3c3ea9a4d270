"""BERT and RoBERTa: every token sees all others."""
