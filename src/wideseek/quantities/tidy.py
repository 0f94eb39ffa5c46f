"""One spelling of what people write in several: digits, dashes, spaces, powers, signs in words."""

from __future__ import annotations

import re
import unicodedata

from wideseek.quantities.numerals import chinese_number, spelled

_DASHES = "-‐‑‒–—―−﹘﹣－"
_TIDY = {
    **{ord(dash): "-" for dash in _DASHES},
    **{ord(mark): "'" for mark in "’‘ʼ´`ˈ＇′"},
    ord("٬"): ",",
    ord("٫"): ".",
    ord("×"): "x",
    ord("✕"): "x",
    ord("·"): "x",
    ord("⋅"): "x",
    ord("⁄"): "/",
    ord("〜"): "~",
    ord("∼"): "~",
    ord("～"): "~",
    ord("≤"): "<",
    ord("≥"): ">",
}
_SUPERSCRIPTS = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺", "0123456789-+", strict=True))
_POWER = re.compile(r"(?<=10)([⁻⁺]?[⁰¹²³⁴⁵⁶⁷⁸⁹]+)")
_RAISED = re.compile(r"(?<=\d)[⁻⁺⁰¹²³⁴⁵⁶⁷⁸⁹]+")
_SUP_POWER = re.compile(r"(?<=10)\s*<sup>\s*([-−+]?\d+)\s*</sup>", re.IGNORECASE)
_SUP = re.compile(r"(?<=\d)\s*<sup>.{0,20}?</sup>", re.IGNORECASE)
_NOTE = re.compile(r"(?<=[^\s\[])\s?\[(?:\d{1,3}|[a-z]|\^?\w{1,10}|(?:note|nb|n|注)\s?\d{1,3})\]", re.IGNORECASE)
_SPACED_MINUS = re.compile(r"^−\s+(?=\d)")
_FRACTIONS = re.compile("[¼-¾⅐-⅞]")
_CHINESE_PERCENT = re.compile(r"百分之\s*([\d.,零〇一二两三四五六七八九十百点]+)")
_SPELLED_SIGN = re.compile(r"(?:\b(?:minus|negative)\s+|[负負▲△]\s*|零下\s*)(?=[^\d]{0,3}\d)", re.IGNORECASE)


def tidied(text: str) -> str:
    """One spelling of digits, dashes, spaces and powers; footnote marks are gone."""
    text = text.strip()
    if text.isascii() and not _UNTIDY.search(text):
        return text
    text = _SPACED_MINUS.sub("-", text.replace("`", ""))
    text = _SUP.sub("", _SUP_POWER.sub(r"^\1", text))
    text = _POWER.sub(lambda match: "^" + "".join(_SUPERSCRIPTS[char] for char in match[1]), text)
    text = _RAISED.sub("", text)
    text = _FRACTIONS.sub(_decimal_fraction, text)
    text = "".join(_digit(char) for char in text)
    text = unicodedata.normalize("NFKC", text.translate(_TIDY)).translate(_TIDY)
    text = "".join(char for char in text if unicodedata.category(char) != "Cf")
    text = _NOTE.sub("", text.replace("**", ""))
    text = _CHINESE_PERCENT.sub(_percent_of, text)
    return " ".join(_SPELLED_SIGN.sub("-", text).split())


_UNTIDY = re.compile(r"[\[<*`\n\t]|  |minus|negative", re.IGNORECASE)


def _digit(char: str) -> str:
    return char if char.isascii() or unicodedata.category(char) != "Nd" else str(unicodedata.digit(char))


def _decimal_fraction(match: re.Match[str]) -> str:
    value = f"{unicodedata.numeric(match[0]):.6f}".rstrip("0")
    before = match.string[: match.start()]
    return value[1:] if before[-1:].isdigit() else value


def _percent_of(match: re.Match[str]) -> str:
    numeral = match[1]
    if not numeral[0].isdigit():
        value = chinese_number(numeral)
        numeral = numeral if value is None else spelled(value)
    return f"{numeral}%"
