"""Another way of prompting for what fails: searched, proved on fresh seeds, evolved."""
