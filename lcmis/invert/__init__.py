"""From pictures to prompts: methods side by side, and what found prompts are good for."""
