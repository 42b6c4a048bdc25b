"""`python -m lcmis`: the command line where the script is not on the path."""

from lcmis.cli import main

main()
