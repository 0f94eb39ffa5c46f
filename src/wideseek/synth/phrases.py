"""Noun phrases for lists: what an article's title, a section and the header of the name column say together.

"List of lighthouses in Denmark"                        -> "lighthouses in Denmark"
"Media in Vancouver", "Radio stations"                  -> "radio stations in Vancouver"
"List of airports in Belize", "Public Airports"         -> "public airports in Belize"
"List of craters on Mercury", "F"                       -> "craters on Mercury starting with F"
"2013 S.League season", "Teams"                         -> "teams of the 2013 S.League season"

A phrase that is not clean (NANO-sized readers copy it letter by letter) is not made at all: no word is said twice, no
comma, bracket, colon or quote, and none of the words that open a clause. Better no list than an ugly one.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from wideseek.synth.cells import word_set

MAX_PHRASE = 64

_SMALL = word_set("of in on at from by for the a an to de la le du des del and to at under his her")
_BANNED = re.compile(
    r"[,:;()\[\]{}\"“”|?!/&+=#%.]|\b(?:with|and|whose|where|that|which|who|or|their|listed|listings?|lists?|is|are"
    r"|was|were)\b",
    re.I,
)
_GENERIC = word_set(
    "list table overview history results result current full complete summary the of in by all and main "
    "information general data statistics selected details existing listings"
)
_IRREGULAR = word_set("aircraft alumni children faculty medallists men people species stadia staff women")
_NOT_PLURAL = word_set(
    "examples ties "
    "accomplishments achievements appearances areas arkansas arts athletics attendances awards broadcasts bus "
    "business by-elections campus cannabis changes charles chess class competitions congress credits debuts "
    "departures details doubles economics editions events facilities fees figures finals fixtures gains goals "
    "gymnastics hat-tricks honors honours illinois its james kansas kits leaders less listings locations losses "
    "mass mathematics meetings mentions metres minas netherlands news nominations numbers others paris pass "
    "performances personnel physics picks politics press process programmes programs projects races rankings "
    "records results sales scores seasons series sports st standings statistics status submissions summaries "
    "tennis texas thomas titles transfers tries us wales winless winnings wins"
)
_PREPOSITION = re.compile(
    r" (?:of|in|on|at|from|by|for|to|near|visited|broadcast|distributed|recorded|affected|owned|named) "
)
_NAMED_THE = re.compile(
    r"\b(?:Award|Prize|Medal|Trophy|Honour|Honor)\b|\b(?:Cup|League|Conference|Championship|Open|Division|Province"
    r"|Games|Party|Hall of Fame"
    r"|Association|Army|Navy|Air Force|Federation|Society|Open|Classic|Olympics|Grand Prix|Series|Tour)$"
)
_EVENT = re.compile(
    r"\b(?:Olympics|Games|Championships?|Cup|Open|Grand Prix|Paralympics|Universiade|Trophy|Masters|Classic)$"
)

_HEADS = {  # sections whose usual heading is not what a person would call the members
    "filmography": "films",
    "film": "films",
    "films": "films",
    "feature films": "feature films",
    "television": "television roles",
    "television series": "television series",
    "video games": "video games",
    "theatre": "plays",
    "theater": "plays",
    "bibliography": "books",
    "discography": "recordings",
    "albums": "albums",
    "studio albums": "studio albums",
    "singles": "singles",
    "current roster": "roster players",
    "roster": "roster players",
    "current squad": "squad players",
    "squad": "squad players",
    "full squad": "squad players",
    "seeds": "seeded players",
    "medalists": "medalists",
    "list of medalists": "medalists",
    "medallists": "medallists",
    "coaching staff": "coaching staff",
    "faculty": "faculty members",
    "administrative divisions": "administrative divisions",
    "stadia and locations": "clubs",
    "stadiums and locations": "clubs",
    "teams and venues": "clubs",
    "personnel and kits": "clubs",
    "top scorers": "top scorers",
    "nfl draft": "draft picks",
    "cfl draft": "draft picks",
    "draft": "draft picks",
    "nba draft": "draft picks",
    "draft picks": "draft picks",
    "general classification": "classified riders",
    "radio": "radio stations",
    "couples": "couples",
    "housemates": "housemates",
    "designers": "designers",
}
_HEADERS = {  # name columns whose members have a usual word
    "player": "players", "team": "teams", "club": "clubs", "driver": "drivers", "rider": "riders",
    "athlete": "athletes", "gymnast": "gymnasts", "candidate": "candidates", "constructor": "constructors",
    "member": "members", "school": "schools", "station": "stations", "church": "churches", "film": "films",
    "song": "songs", "album": "albums", "stadium": "stadiums", "venue": "venues", "airport": "airports",
    "municipality": "municipalities", "city": "cities", "town": "towns", "village": "villages", "island": "islands",
    "river": "rivers", "lake": "lakes", "mountain": "mountains", "building": "buildings", "bridge": "bridges",
    "company": "companies", "airline": "airlines", "ship": "ships", "aircraft": "aircraft",
    "university": "universities", "college": "colleges", "institution": "institutions", "museum": "museums",
    "park": "parks", "judoka": "judoka", "swimmer": "swimmers", "skater": "skaters", "celebrity": "celebrities",
    "contestant": "contestants", "actor": "actors", "senator": "senators", "judge": "judges", "coach": "coaches",
    "manager": "managers", "captain": "captains", "artist": "artists", "province": "provinces",
    "district": "districts", "region": "regions", "county": "counties", "parish": "parishes", "state": "states",
    "township": "townships", "canton": "cantons", "commune": "communes", "peak": "peaks", "glacier": "glaciers",
    "crater": "craters", "star": "stars", "planet": "planets", "language": "languages", "breed": "breeds",
    "castle": "castles", "monument": "monuments", "site": "sites", "hospital": "hospitals", "library": "libraries",
    "newspaper": "newspapers", "magazine": "magazines", "channel": "channels", "program": "programs",
    "programme": "programmes", "locomotive": "locomotives", "engine": "engines", "vessel": "vessels",
    "regiment": "regiments", "squadron": "squadrons", "battle": "battles", "party": "parties",
    "minister": "ministers", "judoka name": "judoka", "wrestler": "wrestlers", "boxer": "boxers",
    "cyclist": "cyclists", "gymnasts": "gymnasts", "conference": "conferences", "franchise": "franchises",
    "roller coaster": "roller coasters", "book": "books", "novel": "novels", "play": "plays", "game": "games",
    "winner": "winners", "recipient": "recipients", "nominee": "nominees", "honoree": "honorees",
    "champion": "champions", "single": "singles", "episode": "episodes", "presenter": "presenters",
    "character": "characters", "act": "acts", "tournament": "tournaments", "festival": "festivals",
    "dish": "dishes", "plant": "plants", "dam": "dams", "mine": "mines",
}  # fmt: skip
_ADJECTIVES = word_set(
    "former current active defunct closed operating operational proposed demolished planned historic major minor "
    "public private hydroelectric thermal solar nuclear geothermal retired abandoned surviving completed domestic "
    "international"
)
_PLACE_KIND = re.compile(r"^[A-Z].* (?:County|Province|District|Region|Island|Prefecture|Parish|Borough|Shire|Valley)$")
_ENTRANTS = {
    "men",
    "women",
    "ladies",
    "pairs",
    "trio",
    "mixed pair",
    "senior men",
    "senior ladies",
    "juniors",
    "men's",
    "women's",
}
_PLAIN_SECTIONS = {
    "results",
    "classification",
    "qualifying",
    "teams",
    "clubs",
    "race",
    "final",
    "table",
    "list",
    "schedule",
}
_PLAIN_SECTIONS |= {
    "overview",
    "participants",
    "members",
    "participating teams",
    "entries",
    "standings",
    "race results",
    "history",
}


class Casing:
    """Which words are written small in running text, counted over all the text given."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._small: Counter[str] = Counter()
        self._large: Counter[str] = Counter()
        for text in texts:
            for word in re.findall(r"(?<=[a-z,] )[A-Za-z][a-z'-]+", text):
                (self._small if word[0].islower() else self._large)[word.lower()] += 1

    def lowered_first(self, phrase: str) -> str:
        """The phrase with its first word small if running text writes it so."""
        first, space, rest = phrase.partition(" ")
        return first.lower() + space + rest if self._is_common(first) else phrase

    def lowered(self, phrase: str) -> str:
        """The phrase with every such word small, but for what follows a proper noun ("Indian Premier League")."""
        words = phrase.split(" ")
        if len(words) > 1 and all(word.islower() for word in words[1:]) and not self._large[words[0].lower()]:
            return phrase.lower()
        done: list[str] = []
        for word in words:
            after_name = bool(done) and done[-1][:1].isupper()
            done.append(word.lower() if self._is_common(word) and not after_name else word)
        return " ".join(done)

    def _is_common(self, word: str) -> bool:
        key = word.lower()
        if not re.fullmatch(r"[A-Z][a-z'-]+", word):
            return False
        small, large = self._small[key], self._large[key]
        return 4 * small >= large and (small > 0 or key in _IRREGULAR)

    def is_common(self, word: str) -> bool:
        """Whether a word is no proper noun, as far as the text shows."""
        return word[:1].islower() or self._is_common(word)


def is_clean_phrase(phrase: str) -> bool:
    """Whether a phrase can name a list: short, no punctuation, no clause, no word twice, a plural among its words."""
    words = phrase.lower().split()
    content = [word for word in words if word not in _SMALL]
    stems = [_stem(word) for word in content]
    return (
        3 <= len(words) <= 12
        and len(phrase) <= MAX_PHRASE
        and not _BANNED.search(phrase)
        and len(stems) == len(set(stems))
        and any(is_plural(word) for word in words)
        and bool(phrase[0].isalnum())
        and words[-1] not in _SMALL
        and words[0] not in _SMALL | {"all", "existing"}
        and words.count("in") <= 2
        and not re.search(r"\bby [a-z]{3}", phrase)
        and not re.match(r"\d|(?:two|three|five|ten|twenty)\b", phrase)
        and not re.search(r"\d-\d{3}|--| -|- |'s$", phrase)
    )


def is_plural(word: str) -> bool:
    word = word.lower().strip("'")
    return word in _IRREGULAR or (
        len(word) > 3 and word.endswith("s") and not word.endswith("ss") and word not in _NOT_PLURAL
    )


def list_phrase(
    title: str, section: str, name_header: str, intro: str, casing: Casing, places: frozenset[str]
) -> str | None:
    """The noun phrase of a list, or `None` where no clean one can be made. `places` are known names of places."""
    heading = _usable_heading(section)
    subject = _subject_of(title)
    if not subject or heading is None or re.match(r"\d{4} in |.* by [a-z]", subject):
        return None
    if re.match(r"(?:other|others|top \d+|all|non|former and|active and)\b", heading, re.I):
        return None
    if _is_listing(title, subject, casing):
        subject = subject if title.startswith("List") else casing.lowered_first(subject)
        phrase = _phrase_of_listing(subject, heading, casing, places)
    elif field := re.match(r"[A-Z][a-z]+(?: [a-z]+)* in ((?:the )?[A-Z][\w' ]+)$", subject):
        phrase = f"{casing.lowered(heading)} in {field.group(1)}" if _is_plural_heading(heading, casing) else None
    else:
        phrase = _phrase_of_article(subject, title, heading, name_header, intro, casing)
    return phrase if phrase and is_clean_phrase(phrase) else None


def narrowed_phrase(phrase: str, column: str, value: str, people: bool, places: frozenset[str]) -> str | None:
    """The phrase of those members whose `column` is `value`: "castles in Syria" + governorate -> "... of Aleppo"."""
    joint = _joint(column, people)
    if joint is None or not re.fullmatch(r"[^\W_][^,;:()\"/&|]*", value) or len(value) > 26:
        return None
    if column in {"year", "released"} and (not re.fullmatch(r"\d{4}", value) or _DATED.search(phrase)):
        return None
    if column == "nationality" and value not in places:
        return None
    if (value.isupper() and value not in _WITH_ARTICLE) or len(value) < 3:
        return None
    if value in _WITH_ARTICLE:
        value = f"the {value}"
    return narrowed if is_clean_phrase(narrowed := f"{phrase} {joint.format(value=value)}") else None


_WITH_ARTICLE = {
    "United States",
    "United Kingdom",
    "Netherlands",
    "Philippines",
    "Bahamas",
    "Czech Republic",
    "Soviet Union",
}
_WITH_ARTICLE |= {
    "Dominican Republic",
    "Maldives",
    "Gambia",
    "Seychelles",
    "Solomon Islands",
    "Marshall Islands",
    "USA",
    "UK",
}
_DATED = re.compile(r"\b\d{4}")
_OF_PEOPLE = {"state", "county", "province", "party", "political party"}
_FIELDS = {"sport", "discipline", "conference", "league", "division"}
_JOINTS = (
    ({"party", "political party"}, "of the {value} party"),
    ({"country", "nation", "nationality"}, "from {value}"),
    (
        {"college", "school", "high school", "alma mater", "university", "club", "team", "recruited from"},
        "from {value}",
    ),
    ({"city", "town", "county", "state", "province", "region", "district", "borough", "municipality"}, "in {value}"),
    ({"governorate", "prefecture", "department", "island", "suburb", "lga", "location", "neighborhood"}, "in {value}"),
    ({"city or town", "parish", "area", "locality", "townland", "community", "continent", "canton"}, "in {value}"),
    ({"sport", "discipline", "conference", "league", "division"}, "in {value}"),
    ({"year", "released"}, "from {value}"),
    ({"album"}, "from {value}"),
    ({"network", "channel", "label", "record label", "line", "river"}, "on {value}"),
    ({"platform", "language", "system"}, "in {value}"),
    (
        {"manufacturer", "developer", "publisher", "architect", "sculptor", "artist", "director", "author", "operator"},
        "by {value}",
    ),
    ({"constructor", "make"}, "for {value}"),
)


def decade_phrase(phrase: str, decade: str) -> str | None:
    """The phrase of those members that belong to a decade: "films of George Arliss from the 1920s"."""
    narrowed = f"{phrase} from the {decade}"
    return narrowed if not _DATED.search(phrase) and is_clean_phrase(narrowed) else None


def _joint(column: str, people: bool) -> str | None:
    for columns, joint in _JOINTS:
        if column not in columns:
            continue
        if people and joint != "from {value}" and column not in _OF_PEOPLE | _FIELDS:
            return None
        if people and joint == "in {value}" and column in _OF_PEOPLE:
            return "from {value}"
        return "in {value}" if column in {"country", "nation"} and not people else joint
    return None


def head_stems(phrase: str) -> set[str]:
    """The words before the first preposition, in the singular: what the members are. Clubs and teams are one."""
    stems = {_stem(word) for word in _PREPOSITION.split(phrase, maxsplit=1)[0].lower().split()}
    return stems | {"club", "team"} if stems & {"club", "team"} else stems


def is_people_header(header: str) -> bool:
    return header.lower() in {
        "player", "driver", "rider", "athlete", "gymnast", "candidate", "member", "swimmer", "skater", "senator",
        "judge", "coach", "manager", "captain", "actor", "celebrity", "contestant", "wrestler", "boxer",
        "representative", "inductee",
    }  # fmt: skip


def _usable_heading(section: str) -> str | None:
    """The last informative part of a section, "" for none, `None` where it cannot be used."""
    for part in reversed(section.split(" – ")):
        part = re.sub(r"^The ", "", part)
        part = re.sub(r"\s*\([^)]*\)|\s*\[[^\]]*\]", "", part).strip()
        if re.search(r"[:;\[\]()\"|/,?!•]|\d{4}[-–]\d", part) or len(part) > 40:
            return None
        if part.lower().startswith("by "):
            return None
        if _content(part) - _GENERIC:
            return part
    return ""


def _subject_of(title: str) -> str | None:
    """The title as it stands in running text: without "List of", brackets resolved, "A, B" as "A in B"."""
    title = re.sub(r"^Lists? of (?:the )?", "", title.replace("’", "'"))
    if bracket := re.search(r"\s*\(([^)]*)\)$", title):
        inner, title = bracket.group(1), title[: bracket.start()]
        if re.search(r"\b(?:season|series) \d+$", inner):
            title = f"{inner} of {title}"
        elif re.fullmatch(r"[A-Z][a-z]+", inner):
            title = f"{title} in {inner}"
        elif not re.fullmatch(r"[a-z ]+", inner):
            return None
    title = re.sub(r"National Register of Historic Places listings", "National Register historic places", title)
    title = re.sub(r"^(.* in [^,]+), [A-Z][\w ]+$", r"\1", title)
    title = re.sub(r"(\d{4})–(\d{2})\b", r"\1-\2", title)
    title = re.sub(r" (?:filmography|discography|bibliography|performances|on screen and stage)$", "", title)
    return re.sub(r"\bF\.C\.|\bFC\b", "FC", title)


def _is_listing(title: str, subject: str, casing: Casing) -> bool:
    """Whether the title itself names things: "List of ...", "Venues of the 1972 Summer Olympics"."""
    if title.startswith(("List of ", "Lists of ")):
        return True
    head = _PREPOSITION.split(subject, maxsplit=1)[0].split()
    sentence_case = len(head) > 1 and all(word.islower() for word in head[1:])
    common = sentence_case or all(map(casing.is_common, head))
    return bool(_PREPOSITION.search(subject)) and is_plural(head[-1]) and common


def _is_plural_heading(heading: str, casing: Casing) -> bool:
    words = heading.split()
    return 1 <= len(words) <= 4 and is_plural(words[-1]) and casing.is_common(words[-1])


def _phrase_of_listing(subject: str, heading: str, casing: Casing, places: frozenset[str]) -> str | None:
    """A list article's subject, made narrower by the heading where the heading says more."""
    match = _PREPOSITION.search(subject)
    head, tail = (subject[: match.start()], subject[match.start() :]) if match else (subject, "")
    noun = head.split()[-1]
    if not is_plural(noun):
        return None
    known = {_stem(word) for word in _content(subject)} | _GENERIC
    if not [word for word in _content(heading) if _stem(word) not in known]:
        return subject
    if re.fullmatch(r"[A-Z]", heading):
        return f"{subject} under the letter {heading}"
    if re.fullmatch(r"\d{4}s", heading):
        return f"{subject} of the {heading}"
    if re.fullmatch(r"\d{4}", heading):
        return None if re.search(r"\d{4}", subject) else f"{subject} of {heading}"
    if heading in places or _PLACE_KIND.search(heading):
        place = f"the {heading}" if heading in _WITH_ARTICLE else heading
        return f"{head} in {place}" if tail.startswith(" in ") or not tail else f"{subject} in {place}"
    words = heading.split()
    if set(head.lower().split()) <= set(heading.lower().split()) and tail:
        return f"{casing.lowered(heading)}{tail}"
    if len(words) == 1 and heading.lower() in _ADJECTIVES:
        return f"{heading.lower()} {subject}"
    if words[-1].lower() == noun.lower() and len(words) > 1:
        return f"{casing.lowered(' '.join(words[:-1]))} {subject}"
    if _is_plural_heading(heading, casing) and tail and words[-1].lower() not in _IRREGULAR:
        return f"{casing.lowered(heading)}{tail}"
    return None


def _phrase_of_article(
    subject: str, title: str, heading: str, name_header: str, intro: str, casing: Casing
) -> str | None:
    header = re.sub(r"\s*\(.*", "", name_header).lower()
    key = heading.lower()
    words = subject.split()
    if not any(word[0].isupper() or word[0].isdigit() for word in words[1:]) and casing.is_common(words[0]):
        return None
    if key in _HEADS:
        head = _HEADS[key]
        if header in {"song", "album", "single", "episode"} and head in {"films", "recordings"}:
            head = f"{header}s"
    elif key in _ENTRANTS:
        word = {"men": "men's", "women": "women's", "ladies": "ladies'"}.get(key, key)
        head = f"{word} {_HEADERS.get(header, 'entrants')}"
        if header not in {"name", "competitor", "skater"} | _HEADERS.keys() or header in {"team", "station"}:
            return None
    elif (not heading or key in _PLAIN_SECTIONS) and header in _HEADERS:
        head = _HEADERS[header]
    elif heading and _is_plural_heading(heading, casing):
        head = casing.lowered(heading)
    elif heading and _is_plural_heading(heading.split(" of ")[0], casing):
        head = casing.lowered(heading.split(" of ")[0])
    elif re.fullmatch(r"\d{4}s", heading) and header in _HEADERS and _NAMED_THE.search(subject):
        return f"{_HEADERS[header]} of the {subject} from the {heading}"
    else:
        return None
    if re.search(r"\b(?:stadia|stadiums|venues|arenas|grounds)$", head) and header in {"team", "club"}:
        head = _HEADERS[header]
    if head == "clubs" and header == "team":
        head = "teams"
    if re.match(r"[A-Z][a-z]+ [a-z]+ at the ", subject):
        return f"{head} in {subject[0].lower()}{subject[1:]}"
    event = _EVENT.search(subject) and not re.search(r" at the ", subject)
    the = "the " if _takes_article(subject, title, intro) else ""
    return f"{head} {'at' if event else 'of'} {the}{subject}"


def _takes_article(subject: str, title: str, intro: str) -> bool:
    """Whether running text says "the" before the title: its own intro shows it; a year or ordinal needs it."""
    if " at the " in title or " in the " in title:
        return False
    if re.match(r"\d{4}|\d+(?:st|nd|rd|th)\b", subject) or re.match(r"\w* ?(?:season|series) \d", subject):
        return not re.match(r"(?:season|series) \d", subject)
    if _NAMED_THE.search(subject):
        return True
    opening = " ".join(title.split()[:2])
    verb = r"(?= (?:is|was|are|were|has|had|took|will|began)\b|[,.(])"
    return bool(re.search(rf"\b[Tt]he {re.escape(title)}{verb}", intro)) or intro.startswith(f"The {opening}")


def _content(text: str) -> set[str]:
    return {word for word in re.findall(r"[\w'-]+", text.lower()) if word not in _SMALL}


def _stem(word: str) -> str:
    """Singular and plural count as one word."""
    word = word.removesuffix("'s").removesuffix("'")
    if word.endswith(("ches", "shes", "sses", "xes")):
        return word[:-2]
    return (
        word[:-3] + "y" if word.endswith("ies") and len(word) > 4 else word.removesuffix("s") if len(word) > 3 else word
    )
