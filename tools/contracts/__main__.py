"""`python -m tools.contracts` writes every document that is generated from the code."""

from pathlib import Path

from tools.contracts import documents
from tools.contracts.dashboards.dashboards import build_dashboards

DASHBOARDS = Path(__file__).parents[2] / "deploy" / "grafana" / "dashboards"


def main() -> None:
    documents.write()
    for name, dashboard in build_dashboards().items():
        file, text = DASHBOARDS / name, documents.serialize(dashboard)
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            file.write_text(text, encoding="utf-8")
            print(f"wrote {name}")


if __name__ == "__main__":
    main()
