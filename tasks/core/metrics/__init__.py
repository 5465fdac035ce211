"""What a question can score: one family per file, and `question.py` that asks them all."""
