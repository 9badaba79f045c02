"""Who may reach what: the rules, and the decision that they make."""
