"""Bytes of an explained CT, counted by the client and beside it."""

import asyncio
import dataclasses
import json
from typing import Any

import grpc
import numpy as np
from client.rest_stand_in import every_class, rest_stand_in
from client.stand_in import SPEC, StandIn, answer, stand_in

from vcam_client import AsyncClient, Client, Prediction, Volume
from vcam_client._proto import prediction_service_pb2 as pb
from vcam_client.spec import CamLayer, Grid

GRID, CELLS = (64, 128, 128), (12, 12, 12)
LARGE = dataclasses.replace(
    SPEC,
    grid=Grid(shape=GRID, padding_value=-1000),
    cam_layers=(
        CamLayer(name="conv", cells=CELLS, offset=(2.5, 4.5, 4.5), stride=(5.0, 10.0, 10.0)),
    ),
)
MOST_UP, MOST_DOWN = 2_200_000, 16_000
CAM = np.random.default_rng(1).normal(size=CELLS).astype(np.float32)
CT = Volume(
    data=np.random.default_rng(0).integers(-1000, 400, (96, 96, 48)).astype(np.int16),
    affine=np.diag([-2, -2, 3, 1.0]),
    modality="CT",
)


class Counting:
    """Bytes that pass a gRPC stand-in, predictions only."""

    def __init__(self, server: StandIn) -> None:
        self.up = self.down = 0
        server.spec_json, server.predict = LARGE.to_json(), self.predict
        self._reply = server.reply
        server.reply = self.reply  # type: ignore[method-assign]

    def predict(self, request: pb.PredictRequest) -> dict[str, np.ndarray]:
        everything = {**answer(cam=CAM), "heatmap": np.zeros((1, *GRID), np.float32)}
        return {name: everything[name] for name in request.output_filter or everything}

    def reply(self, request: pb.PredictRequest, context: grpc.ServicerContext) -> bytes:
        content = self._reply(request, context)
        if request.model_spec.signature_name != "spec":
            self.up += request.ByteSize()
            self.down += len(content)
        return content


def test_an_explained_ct_over_grpc() -> None:
    async def awaited(address: str) -> Prediction:
        async with AsyncClient(address) as client:
            return await client.predict(CT)

    for asynchronous in (False, True):
        with stand_in() as server:
            counted = Counting(server)
            if asynchronous:
                found = asyncio.run(awaited(server.address))
            else:
                with Client(server.address) as client:
                    found = client.predict(CT)
        assert (found.traffic.sent, found.traffic.received) == (counted.up, counted.down)
        assert np.prod(GRID) * 2 < found.traffic.sent <= MOST_UP
        assert CAM.nbytes < found.traffic.received <= MOST_DOWN


def test_every_call_counts_over_grpc() -> None:
    with stand_in() as server, Client(server.address) as client:
        counted = Counting(server)
        server.predict = lambda request: {
            "scores": answer()["scores"],
            "cam": np.stack([CAM, CAM])[None],
        }
        *_, found = client.predict_all(CT)
    assert (found.traffic.sent, found.traffic.received) == (counted.up, counted.down)


def test_an_explained_ct_over_rest() -> None:
    passed: list[tuple[int, int]] = []
    with rest_stand_in() as server, Client(server.address) as client:
        original = server.answer

        def reply(verb: str, path: str, body: bytes) -> Any:
            if b'"spec"' in body[:40]:
                return 200, {}, json.dumps({"outputs": [LARGE.to_json()]}).encode()
            status, headers, content = original(verb, path, body)
            if verb == "POST":
                passed.append((len(body), len(content)))
            return status, headers, content

        server.answer = reply  # type: ignore[method-assign]
        cams = np.stack([CAM, CAM])[None].tolist()
        server.outputs = lambda: {**every_class(), "cam": cams}
        found = client.predict(CT)
    assert passed == [(found.traffic.sent, found.traffic.received)]
