"""Write deploy/kubernetes anew: what `nbhub kubernetes init` writes when it is given a host name alone."""

from pathlib import Path

from nbhub.deploy import choices, manifests

FOLDER = Path(__file__).parents[1] / "deploy" / "kubernetes"

if __name__ == "__main__":
    files = manifests.render(choices.chosen({"host": "hub.example.org"}))
    print("\n".join(manifests.write(FOLDER, files, replace=True)) or f"{FOLDER} is as it should be")
