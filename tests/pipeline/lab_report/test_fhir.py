"""FHIR: valid by an independent library, with LOINC's codes and UCUM's units."""

from __future__ import annotations

import json

import pytest
from tests.pipeline.lab_report.reports import ORDINARY, settings, slide

from napari_wbc.model.blood_count import WbcCount
from napari_wbc.model.policy import Policy
from napari_wbc.pipeline.lab_report.content import content
from napari_wbc.pipeline.lab_report.fhir import fhir_bundle
from napari_wbc.pipeline.lab_report.reference import DATA
from napari_wbc.storage.tables import read_rows

MADE = "2026-11-30T09:00:00.000+00:00"


def bundle(folder, counts, *, signed=False, amended=False, **options):
    report = content(slide(folder, counts), settings(**options), MADE)
    return fhir_bundle(report, signed=signed, amended=amended)


def resources(values, kind):
    every = [entry["resource"] for entry in values["entry"]]
    return [resource for resource in every if resource["resourceType"] == kind]


@pytest.mark.parametrize("counts", [{}, {"neutrophil": 1}, {**ORDINARY, "erythroblast": 4}])
@pytest.mark.parametrize("bands", [False, True])
def test_bundles_are_valid(counts, bands, tmp_path):
    # Observation and DiagnosticReport of R4 and R4B are the same.
    model = pytest.importorskip("fhir.resources.R4B.bundle").Bundle
    policy = Policy(bands_apart=bands, unidentified_counted=bands)
    values = bundle(tmp_path, counts, wbc=WbcCount(17.4), specimen="H-1", policy=policy)
    model.model_validate_json(json.dumps(values))


def test_a_report_names_its_observations(tmp_path):
    values = bundle(tmp_path, {**ORDINARY, "monocyte": 40, "erythroblast": 4}, wbc=WbcCount(9))
    (report,) = resources(values, "DiagnosticReport")
    addresses = [entry["fullUrl"] for entry in values["entry"]]
    assert len(set(addresses)) == len(addresses)
    assert {each["reference"] for each in report["result"]} == set(addresses[2:])
    assert report["code"]["coding"][0]["code"] == "69738-3"
    assert "Research use only" in report["conclusion"]
    by_code = {}
    for each in resources(values, "Observation"):
        if "coding" in each["code"]:
            by_code[each["code"]["coding"][0]["code"]] = each
    monocytes = by_code["744-3"]
    assert monocytes["valueQuantity"]["code"] == "%"
    assert monocytes["interpretation"][0]["coding"][0]["code"] == "H"
    assert monocytes["referenceRange"][0]["high"]["value"] == 9
    assert by_code["18309-5"]["valueQuantity"]["code"] == "/100{WBCs}"
    assert by_code["26464-8"]["valueQuantity"]["unit"] == "10*9/L"
    limits = [each["valueQuantity"]["value"] for each in monocytes["component"]]
    assert limits[0] < monocytes["valueQuantity"]["value"] < limits[1]


def test_unidentified_cells_in_the_denominator_have_their_code(tmp_path):
    policy = Policy(unidentified_counted=True)
    values = bundle(tmp_path, {**ORDINARY, "unidentified": 4}, policy=policy)
    assert "44095-8" in json.dumps(values)


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({}, "preliminary"),
        ({"signed": True}, "final"),
        ({"signed": True, "amended": True}, "amended"),
    ],
)
def test_a_report_is_preliminary_until_it_is_signed(options, status, tmp_path):
    values = bundle(tmp_path, ORDINARY, **options)
    for kind in ("DiagnosticReport", "Observation"):
        assert {each["status"] for each in resources(values, kind)} == {status}


def test_without_a_leukocyte_there_is_a_reason_and_no_number(tmp_path):
    (first, *_) = resources(bundle(tmp_path, {}), "Observation")
    assert "valueQuantity" not in first
    assert first["dataAbsentReason"]["text"]


def test_each_code_is_one_of_loinc_by_its_check_digit_and_says_how_it_was_checked():
    _header, rows = read_rows(DATA / "loinc.csv")
    assert rows
    for _measure, _unit, code, _display, status in rows:
        number, digit = code.split("-")
        # Modulus 10, as LOINC's users' guide has it: every second digit from the right is doubled.
        doubled = "".join(str(2 * int(each)) for each in number[::-1][::2])
        total = sum(map(int, doubled + number[::-1][1::2]))
        assert int(digit) == -total % 10, code
        assert status.startswith(("active; read", "named so in"))
        assert "read 2026" in status
