"""Who draws and checks: the hands of every run, whatever is to be made."""
