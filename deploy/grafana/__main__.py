"""`python -m deploy.grafana`: write the dashboards that Grafana is given."""

from pathlib import Path

from deploy.contracts import written
from deploy.grafana.panels import dashboards

FOLDER = Path(__file__).with_name("dashboards")


def main() -> None:
    for name, board in dashboards().items():
        (FOLDER / name).write_text(written(board), encoding="utf-8")
        print(f"wrote {name}")


if __name__ == "__main__":
    main()
