"""Text of policies -> `Policy` -> `Evaluation`; knows neither wire formats nor stores."""
