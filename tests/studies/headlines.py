"""What the verdict of each study is about, by its name."""

from studies.catalog import STUDIES

HEADLINES = {name: study.headline for name, study in STUDIES.items() if study.headline is not None}
