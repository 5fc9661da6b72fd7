"""Makes tests/golden/tasks: for each built-in task a folder with files of ten examples in the official layout, and
expected.json with what models read of them and should answer.

The sentences are written for this project; nothing of the data sets is in them. What models read is computed here anew,
after the published code: T5's preprocessors (text: "feature: value ..." in the order of the names, the task's name left
out as google-research/prompt-tuning does), LM-BFF's templates (cloze), and the authors' own for the rest. A task whose
form was made for this project (docs/tasks.md says so) is written out a second time all the same.
Usage: python tools/golden/tasks.py
"""

import json
import shutil
from pathlib import Path

import tasks_glue  # noqa: F401  (each fills TASKS)
import tasks_others  # noqa: F401
from task_examples import TASKS

GOLDEN = Path(__file__).resolve().parents[2] / "tests" / "golden" / "tasks"


def main():
    shutil.rmtree(GOLDEN, ignore_errors=True)
    for name, make in TASKS.items():
        folder = GOLDEN / name
        folder.mkdir(parents=True)
        lines = ",\n".join(json.dumps(e, ensure_ascii=False) for e in make(folder))
        (folder / "expected.json").write_text("[\n" + lines + "\n]\n", encoding="utf-8")
    print(len(TASKS), "tasks")


if __name__ == "__main__":
    main()
