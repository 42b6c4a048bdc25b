"""What each command is typed like: shown in its help, and parsed by a test."""

from __future__ import annotations

EXAMPLES: dict[str, tuple[str, ...]] = {
    "init": ("lcmis init", "lcmis init mine.toml"),
    "plan": ("lcmis plan audit.toml", "lcmis plan -m MODEL -p everyday -c vqa:CHECKER"),
    "audit": (
        "lcmis audit",
        "lcmis audit audit.toml --yes",
        "lcmis audit -m MODEL -p everyday -c vqa:CHECKER --limit 20",
    ),
    "show": (
        "lcmis show",
        "lcmis show tea cup",
        "lcmis show failing --model narrow",
        "lcmis show errors",
        "lcmis show 2e65d9522fbe --asked",
    ),
    "dashboard": ("lcmis dashboard", "lcmis dashboard --store other --port 8600 --no-open"),
    "embed": ("lcmis embed", "lcmis embed -c clip:ViT-L-14/datacomp_xl_s13b_b90k"),
    "note": (
        'lcmis note "a tea cup of milk" --tag vessel --comment "a jug" --by ann',
        "lcmis note --export notes.csv",
    ),
    "report": ("lcmis report -o report.html", "lcmis report --markdown report.md"),
    "propose": (
        "lcmis propose -p everyday --text-model openai:MODEL",
        "lcmis propose --rounds 1 --no-audit",
    ),
    "import": ("lcmis import prompts.csv", "lcmis import --images FOLDER --manifest list.csv"),
    "repair": (
        "lcmis repair audit.toml",
        "lcmis repair --method rewrite --text-model openai:MODEL --budget 60",
    ),
    "certify": ("lcmis certify", "lcmis certify -m OTHER-MODEL"),
    "export": ("lcmis export a1111 repaired.txt", "lcmis export csv repairs.csv --every"),
    "evolve": ("lcmis evolve --text-model openai:MODEL --out instruction.txt",),
    "invert": (
        "lcmis invert photo.jpg",
        "lcmis invert photo.jpg -m MODEL --guide clip:ONE --guard clip:OTHER",
        "lcmis invert photo.jpg --text-model openai:MODEL --vision",
    ),
    "label": ("lcmis label", "lcmis label --export labels.csv"),
    "calibrate": ("lcmis calibrate",),
    "compare": ("lcmis compare MODEL OTHER-MODEL", "lcmis compare last-week this-week"),
    "gate": (
        "lcmis gate --max-rate 0.1",
        "lcmis gate MODEL --not-worse-than last-week --junit gate.xml",
    ),
    "publish": (
        "lcmis publish site public",
        "lcmis publish imagefolder FOLDER",
        "lcmis publish mlflow EXPERIMENT",
        "lcmis publish hub OWNER/NAME",
    ),
    "doctor": ("lcmis doctor", "lcmis doctor audit.toml"),
    "tune": ("lcmis tune", "lcmis tune audit.toml --into audit.toml --minutes 5"),
    "models": ("lcmis models", "lcmis models --known flux"),
    "checkers": ("lcmis checkers",),
    "plugins": ("lcmis plugins", "lcmis plugins repairers"),
    "convert": ("lcmis convert model.ckpt --into FOLDER",),
    "replay": ("lcmis replay 95f9ea7137e6",),
    "db upgrade": ("lcmis db upgrade",),
    "db move": (
        "lcmis db move --to postgresql://HOST/lcmis --to-pictures s3://BUCKET/audit",
        "lcmis db move --to elsewhere",
    ),
    "db merge": ("lcmis db merge other third --store audit",),
    "db check": ("lcmis db check --store other",),
}
"""Command → lines; what stands in capitals is the reader's."""
