"""A place to search of your own: here a folder of text files; a database or a web search works the same.

python examples/own_source.py
"""

import asyncio
import tempfile
from pathlib import Path

from wideseek import Page, Task, Team
from wideseek.policy.scripted import Expert
from wideseek.tools.base import Hit


class FolderSource:
    """Each file is a page: its name is the title, its text the page."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    async def search(self, query: str, count: int) -> list[Hit]:
        words = set(query.lower().split())
        files = sorted(self.folder.iterdir(), key=lambda file: -len(words & set(file.stem.lower().split())))
        return [Hit(file.stem, self._url(file), file.read_text()[:100]) for file in files[:count]]

    async def page(self, url: str) -> Page | None:
        found = [file for file in self.folder.iterdir() if self._url(file) == url]
        return Page(url, found[0].stem, found[0].read_text()) if found else None

    async def close(self) -> None:
        pass

    def _url(self, file: Path) -> str:
        return f"https://notes.example/{file.stem.lower().replace(' ', '-')}"


async def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "Boats of the club.txt").write_text("#1 Albatros\n#2 Bora")
        (folder / "Albatros.txt").write_text("Albatros is a boat of the club.\nlength: 9 m\nyear: 1974")
        (folder / "Bora.txt").write_text("Bora is a boat of the club.\nlength: 7 m\nyear: 1988")
        team = Team({"lead": Expert()}, FolderSource(folder))
        rollout = await team.solve(Task(question="Which boats of the club are there? Give length and year for each."))
        print(rollout.answer)


asyncio.run(main())
