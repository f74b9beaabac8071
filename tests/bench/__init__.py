"""What a decision costs: `python -m tests.bench` measures, checks every answer while it does, and draws."""
