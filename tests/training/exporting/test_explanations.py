from dataclasses import replace

import pytest

from vcam_client.errors import ConfigError
from vcam_client.spec import CamLayer
from vcam_training.cams.cam_methods import METHODS
from vcam_training.exporting.explanations import explanations

COARSE = CamLayer(name="coarse", cells=(3,), offset=(2.0,), stride=(4.0,), reference_maximum=7.0)
FINE = CamLayer(name="backbone/fine", cells=(6,), offset=(1.0,), stride=(2.0,))
FUSED = CamLayer(name="coarse+fine", cells=(6,), offset=(1.0,), stride=(2.0,))


def test_every_method_on_every_layer_the_default_first():
    found = explanations((COARSE, FINE, FUSED))
    assert [(one.signature, one.method, one.layer) for one in found[:4]] == [
        ("gradcam", "gradcam", "coarse"),
        ("gradcam_plus_plus", "gradcam_plus_plus", "coarse"),
        ("hirescam", "hirescam", "coarse"),
        ("layercam", "layercam", "coarse"),
    ]
    assert {(one.method, one.layer) for one in found} == {
        (method, layer.name) for method in METHODS for layer in (COARSE, FINE, FUSED)
    }
    names = {one.layer: one.signature for one in found if one.method == "layercam"}
    assert names == {
        "coarse": "layercam",
        "backbone/fine": "layercam_backbone_fine",
        "coarse+fine": "layercam_coarse_fine",
    }


def test_another_default_comes_first():
    found = explanations((COARSE, FINE), "layercam")
    assert [one.signature for one in found[:2]] == ["layercam", "gradcam"]
    with pytest.raises(ConfigError, match="received 'cam'"):
        explanations((COARSE,), "cam")


def test_a_reference_is_that_of_the_default_method():
    found = {one.method: one.reference_maximum for one in explanations((COARSE,), "hirescam")}
    assert found.pop("hirescam") == 7.0
    assert set(found.values()) == {None}


@pytest.mark.parametrize("twin", [FINE, replace(FINE, name="backbone.fine")])
def test_layers_whose_signatures_have_one_name_are_refused(twin):
    with pytest.raises(ConfigError, match="target layers with names of their own"):
        explanations((COARSE, FINE, twin))
