"""Names of types of variable stars, as catalogues write them, and what they mean here. A name more is a word more."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from typing import Literal

import numpy as np
import pandas as pd

from photfeh.core.errors import PhotfehWarning
from photfeh.core.types import BoolArray

__all__ = ["MISSING", "NOT_RR_LYRAE", "RR_LYRAE", "TypeKind", "canonical_types", "classify_type", "type_masks"]

TypeKind = Literal["missing", "RR Lyrae", "not RR Lyrae", "unknown"]


def _words(*lines: str) -> frozenset[str]:
    return frozenset(" ".join(lines).split())


RR_LYRAE: Mapping[str, str] = {
    name: canonical
    for canonical, names in {
        # fundamental mode, Blazhko stars included; 0 and 1 number the overtones
        "RRab": "RRAB RRA RRB RR0 AB A B 0",
        # first overtone
        "RRc": "RRC RR1 C 1",
        # both modes; aRRd are the anomalous ones of OGLE (Soszynski+ 2016, MNRAS 463, 1332), RR(B) is the name in the
        # GCVS and VSX
        "RRd": "RRD RR01 D 01 ARRD RR(B)",
        # candidates of the second overtone: no model was made for them
        "RRe": "RRE RR2",
        # an RR Lyrae whose subtype is not said: typed by its light curve
        "RR": "RR RR* RRL BLAZHKO",
    }.items()
    for name in names.split()
}
"""Names of RR Lyrae in the form of :func:`_plain`, and the canonical one: RRab, RRc, RRd, RRe, or RR (subtype unsaid).

Gaia (``vari_rrlyrae.best_classification``, ``vari_classifier_result``), OGLE, ASAS, ASAS-SN, Catalina, ZTF, the GCVS,
VSX, Simbad and the letters of Bailey.
"""

NOT_RR_LYRAE = _words(
    # eclipsing and ellipsoidal binaries
    "E EA EB EW EC ED ESD EP ECL ECLBIN EB* ECLIPSING ELL EL* ELLIPVAR HB KW SB SB* AR DM DW GS",
    # Cepheids, classical, anomalous and of type II; the modes of OGLE and ASAS
    "CEP CEP* CEP(B) CE CE* CEPHEID CEPHEIDS CEPI CEPII CLASSICALCEP CC* DCEP DCEPS DCEP(B) DCEPS(B) DCEPFU",
    "DCEPFO DCEPF DCEP1O ACEP ACEPS ACEP(B) ACEPF ACEP1O ACEPHEID AC AHB AHB1 BLBOO CW CWA CWB CW* CWBS CWB(B)",
    "CWFU CWFO T2CEP T2CEPHEID T2C TYPE2CEP TYPEIICEP WV* WVIR PWVIR PECWVIR BLH BLHER BLAP RV RV* RVA RVB RVTAU",
    "RVTAUV*",
    # main-sequence and subdwarf pulsators
    "DSCT DSCTC DSCTR DSCT(B) DELTASCT DELSCTV* DELTASCUTI DS* SXPHE SXPHE(B) SXPHEV* SX SX* HADS HADS(B) MSDSCT",
    "GDOR GAMMADOR GAMMADORV* GD* SPB BCEP BCEPS BCEP(B) BCEPV* BC* ROAP ROAM V361HYA V1093HER SDB ZZ ZZA ZZB ZZO",
    "ZZCET ZZLEP GWLIB ACYG A2* ALF2CVNV* WD",
    # long-period and irregular variables
    "LPV LP* LONGPERIODV* M MIRA MI* SR SRA SRB SRC SRD SRS L LB LC LSP LSPV OSARG I IA IB",
    "IS ISA ISB IR* IRREG IRREGULARV* RCB RCRB RCRBV* RC* DYPER DPV C*",
    # rotation and spots
    "ROT RO* ROTV* BY BY* BYDRA BYDRAV* RS RS* RSCVN RSCVNV* ACV ACVO CP MCP SXARI SXARIER SOLARLIKE FKCOM PSR",
    "SPOT SPOTTED",
    # eruptive, young and cataclysmic stars, supernovae
    "BE BE* GCAS GCASV* SDOR WR WR* ER* ERUPTV* UV UVN FLARE YSO Y*O TT* TTS CTTS WTTS TTAU TTAUV* OR* ORIONV* IN",
    "INA INB INS INSA INSB INST INT INTA INTB UXOR FUOR EXOR CV CV* CATACLYV* UG UGSS UGSU UGZ UGWZ UGER NL NOVA",
    "NO* CLASSICALNOVA SYST SY* SYMBIOTIC ZAND AM AM* DQ XB SN SN* SUPERNOVA SNIA SNII SNIB SNIC",
    # what is no variable star
    "CONST CONSTANT CST NONVAR S AGN QSO QSO* BLLAC BLAZAR GALAXY GALAXIES MICROLENSING MICROLENS ML LENS EXOPLANET",
)
"""Names of other variables in the form of :func:`_plain`: GCVS and VSX, Gaia, OGLE, ASAS and ASAS-SN, Catalina, ZTF and
Simbad. No model was made for them, so that they are not predicted."""

MISSING = _words(
    "NA N/A <NA> NAN NAT NULL NONE MASKED UNKNOWN UNK UNCLASSIFIED UNDEFINED VAR VARIABLE V* V STAR",
    "* ? : . ... 99 9999",
)
"""Words, besides blanks and dashes, by which catalogues say that they do not know the type."""

_ADDITIONS = _words("AR BL BLAZHKO D DM DS DW ESD GC GS HW IB K KE KW N PN RS SD WD WR")
"""What the GCVS and VSX add after a stroke, as in EA/SD or RRAB/BL: no alternatives but details."""

_MAX_LISTED = 10


def classify_type(name: object) -> tuple[TypeKind, str | None]:
    """What one entry of a type column says.

    Returns
    -------
    kind : {"missing", "RR Lyrae", "not RR Lyrae", "unknown"}
        Alternatives (``EC|RRc``, ``EC/ESD``) must be of one kind to be understood.
    name : str or None
        The canonical name of an RR Lyrae, RR where alternatives differ; of others what is given; None where missing.
    """
    if name is None or name is pd.NA or (isinstance(name, float) and np.isnan(name)):
        return "missing", None
    text = _written(name)
    plain = _plain(text)
    if plain in MISSING or not plain.strip("|/+,;"):
        return "missing", None
    whole = _look_up(plain)
    if whole is not None:
        return _outcome({whole}, text)
    first, *more = [_plain(part) for part in re.split(r"[|/+,;]", plain) if part]
    found = {_look_up(part) for part in (first, *(part for part in more if part not in _ADDITIONS))}
    return _outcome(found, text)


def canonical_types(column: pd.Series, where: str) -> pd.Series:
    """A type column in canonical names: missing ones None, RR Lyrae by :data:`RR_LYRAE`, all others as given.

    Words that are neither in :data:`RR_LYRAE` nor in :data:`NOT_RR_LYRAE` are listed in one warning. They are no
    missing values: somebody says something about the star that is not understood here. Such stars are typed by period
    and light curve, as the word may well be a spelling of RR Lyrae that is new to us, and carry the flag UNKNOWN_TYPE.
    """
    codes, words = pd.factorize(column.astype(object), use_na_sentinel=True)
    meant = [classify_type(word) for word in words]
    values = np.array([*(name for _, name in meant), None], dtype=object)
    counts = np.bincount(codes[codes >= 0], minlength=len(words))
    strange = {str(name): int(n) for (kind, name), n in zip(meant, counts, strict=True) if kind == "unknown"}
    if strange:
        most = sorted(strange.items(), key=lambda item: (-item[1], item[0]))
        listed = ", ".join(f"{word!r} ({n})" for word, n in most[:_MAX_LISTED])
        more = f" and {len(most) - _MAX_LISTED} more" if len(most) > _MAX_LISTED else ""
        warnings.warn(
            f"{where}: unknown types {listed}{more}; these {sum(strange.values())} stars are typed by period and light "
            "curve, and flagged. Write RRab, RRc, RRd, the name of another type of variable, or nothing.",
            PhotfehWarning,
            stacklevel=3,
        )
    return pd.Series(values[codes], index=column.index, dtype=object)


def type_masks(types: pd.Series) -> tuple[BoolArray, BoolArray, BoolArray]:
    """Which stars have a usable subtype of RR Lyrae, are something else, or have a word that is not understood.

    Three masks of shape (len(types),); all are false where the type is missing or is RR without subtype.
    """
    codes, words = pd.factorize(types.astype(object), use_na_sentinel=True)
    meant = [classify_type(word) for word in words]
    known = np.array([*(kind == "RR Lyrae" and name != "RR" for kind, name in meant), False], dtype=bool)
    other = np.array([*(kind == "not RR Lyrae" for kind, _ in meant), False], dtype=bool)
    strange = np.array([*(kind == "unknown" for kind, _ in meant), False], dtype=bool)
    return known[codes], other[codes], strange[codes]


def _written(name: object) -> str:
    """An entry as text; whole numbers that passed through floating point (0.0, 1.0) without their decimals."""
    if isinstance(name, bytes):
        name = name.decode("utf-8", "replace")
    if isinstance(name, (float, np.floating)) and float(name).is_integer():
        name = int(name)
    return re.sub(r"^([0-9]+)\.0+$", r"\1", str(name).strip())


def _plain(text: str) -> str:
    """Upper case without blanks, joiners, marks of doubt, of Blazhko stars and the word Lyrae.

    ``"RR Lyr-ab:"`` and ``"RRab (Blazhko)"`` both become ``"RRAB"``.
    """
    plain = re.sub(r"[\s_\-\"']|CANDIDATE", "", text.upper())
    plain = re.sub(r"(?<=.)[:?]+$", "", plain)
    plain = re.sub(r"BLAZ(?:HKO|KHO|KO)", "BLAZHKO", plain)
    plain = re.sub(r"^(A?RR)LYR(?:AE)?", r"\1", plain)
    return re.sub(r"^(A?RR[A-Z0-9]*?)[/(+]?BL(?:AZHKO)?\)?$", r"\1", plain)


def _look_up(plain: str) -> str | None:
    """Canonical name of an RR Lyrae, the empty string for another variable, None for what is not understood."""
    if plain in RR_LYRAE:
        return RR_LYRAE[plain]
    return "" if plain in NOT_RR_LYRAE else None


def _outcome(found: set[str | None], text: str) -> tuple[TypeKind, str | None]:
    """From what the alternatives mean; those of several kinds, or one not understood, leave the type unknown."""
    if found == {""}:
        return "not RR Lyrae", text
    if None in found or "" in found:
        return "unknown", text
    return "RR Lyrae", found.pop() if len(found) == 1 else "RR"
