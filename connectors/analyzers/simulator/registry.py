"""Which dialect and which link a model has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from connectors.analyzers.driver import MODELS
from connectors.analyzers.simulator import astm_cells, astm_chemistry, astm_roche, blocks, hl7_cells, hl7_law
from connectors.analyzers.simulator.astm_dialect import AstmDialect
from connectors.analyzers.simulator.astm_links import BareLink, FramedLink, SimpleLink
from connectors.analyzers.simulator.block_links import BlockLink, DimensionLink
from connectors.analyzers.simulator.dialect import Dialect
from connectors.analyzers.simulator.faults import SimulatorFaults
from connectors.analyzers.simulator.link import LinkTimes, SimulatedLink
from connectors.analyzers.simulator.mllp_link import MllpLink
from connectors.astm.sender import SenderRole
from connectors.device_side import DeviceLine
from domain.device_profile import DeviceProfile

DIALECTS: Final[Mapping[str, type[Dialect]]] = {
    "generic_astm": AstmDialect,
    "generic_hl7": hl7_law.Law,
    "roche_cobas_c111": astm_roche.RocheHost,
    "roche_cobas_c311": astm_roche.RocheC311,
    "roche_cobas_e411": astm_roche.RocheE411,
    "roche_cobas_6000": astm_roche.RocheHost,
    "roche_cobas_pro": hl7_law.CobasPro,
    "roche_cobas_pure": hl7_law.CobasPro,
    "roche_cobas_4800": hl7_law.Cobas4800,
    "roche_cobas_infinity": astm_roche.RocheInfinity,
    "abbott_architect": astm_chemistry.Architect,
    "abbott_m2000": astm_chemistry.M2000,
    "abbott_alinity_ci": hl7_law.Alinity,
    "abbott_alinity_m": hl7_law.AlinityM,
    "beckman_access_dxi": astm_chemistry.Access,
    "beckman_au": blocks.BeckmanAu,
    "beckman_dxc700au": blocks.BeckmanAu,
    "beckman_dxh": astm_chemistry.SendsOnly,
    "siemens_centaur": astm_chemistry.Centaur,
    "siemens_atellica": hl7_law.Atellica,
    "siemens_dimension": blocks.Dimension,
    "siemens_dca_vantage": astm_chemistry.DcaVantage,
    "sysmex_xn": astm_cells.SysmexXn,
    "sysmex_xp": astm_cells.SysmexXp,
    "mindray_bc": hl7_cells.MindrayBc,
    "mindray_bs_hl7": hl7_cells.MindrayBs,
    "mindray_bs": astm_chemistry.Bs430,
    "ortho_vitros": astm_chemistry.Vitros,
    "ortho_vision": astm_cells.Vision,
    "biorad_d10": astm_cells.D10,
    "biorad_ih": astm_cells.IhCom,
    "immucor_galileo": astm_cells.Immucor,
    "erba_xl": astm_chemistry.ErbaXl,
    "meril_autoquant": astm_chemistry.AutoQuant,
    "horiba_pentra400": astm_chemistry.Pentra400,
    "horiba_pentra_xlr": astm_chemistry.SendsOnly,
    "horiba_yumizen": astm_cells.Yumizen,
    "horiba_yumizen_hl7": hl7_law.YumizenHl7,
    "genexpert": astm_chemistry.GeneXpertAstm,
    "genexpert_hl7": hl7_law.GeneXpertHl7,
    "biosystems_ba400": hl7_law.Ba400,
    "getein_magicl": hl7_cells.Getein,
    "edan_h60": hl7_cells.EdanH60,
    "edan_i15": hl7_cells.EdanI15,
    "dymind": hl7_cells.Dymind,
    "boule_bm500": hl7_cells.Boule,
    "agappe_hx58": hl7_cells.BinaryFractions,
    "agappe_cx4": astm_chemistry.SendsOnly,
    "agappe_mispa_maestro": astm_cells.Maestro,
    "zybio": hl7_cells.Zybio,
    "snibe_maglumi": astm_chemistry.Maglumi,
    "ichroma": hl7_cells.Ichroma,
    "autobio": hl7_cells.Autobio,
    "wondfo": hl7_cells.Wondfo,
    "euroimmun": astm_chemistry.DecimalComma,
    "nihon_kohden_celltac": hl7_law.Celltac,
}
"""Dialect of every known model."""


def dialect_of(model_key: str) -> Dialect:
    """Return the dialect of a known model.

    Raises:
        KeyError: There is no such model.
    """
    return DIALECTS[model_key](MODELS[model_key])


def link_for(
    profile: DeviceProfile,
    line: DeviceLine,
    *,
    role: SenderRole = SenderRole.INSTRUMENT,
    faults: SimulatorFaults | None = None,
    times: LinkTimes | None = None,
) -> SimulatedLink:
    """Return the simulated end of the link that devices of the profile use."""
    if profile.protocol == "hl7":
        return MllpLink(line, faults=faults, times=times)
    if profile.protocol == "au":
        return BlockLink(line, has_check_byte=profile.au.has_check_byte, faults=faults, times=times)
    if profile.protocol == "dimension":
        return DimensionLink(line, faults=faults, times=times)
    if profile.frame_style == "bare":
        return BareLink(line, faults=faults, times=times)
    if profile.frame_style == "simple":
        return SimpleLink(line, faults=faults, times=times)
    return FramedLink(line, profile.transmission, role=role, faults=faults, times=times)
