"""The text of a policy file: YAML read strictly, with places kept, and checked against the one schema."""
