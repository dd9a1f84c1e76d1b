// Asks a vcam model server for the scores of one volume, and where the evidence lies:
//   node predict.mjs [--server HOST:PORT] [--model NAME] [--volume FILE.npy]
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import grpc from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';

const PREDICT = '/tensorflow.serving.PredictionService/Predict';
const DEADLINE_MS = 60_000;
const NO_EVIDENCE_SHARE = 1 / 3; // of a true positive's usual maximum, as docs/contract.md says
const TENSOR_TYPES = { int16: 'DT_INT16', float32: 'DT_FLOAT' };
const NPY_ARRAYS = { '<i2': Int16Array, '<f4': Float32Array };

const messages = loadSync('vcam/tfs/v1/prediction_service.proto', {
  includeDirs: [fileURLToPath(new URL('../../protos', import.meta.url))],
  keepCase: true,
  longs: String,
  enums: String,
  defaults: true,
});
const { serialize } = messages['vcam.tfs.v1.PredictRequest'];
const { deserialize } = messages['vcam.tfs.v1.PredictResponse'];

function call(client, request) {
  const options = { deadline: Date.now() + DEADLINE_MS };
  return new Promise((resolve, reject) => {
    const done = (error, reply) => (error ? reject(error) : resolve(reply));
    client.makeUnaryRequest(PREDICT, serialize, deserialize, request, new grpc.Metadata(), options, done);
  });
}

// Answers hold their values in typed fields or as bytes, as the server was started.
const asArray = (bytes, ArrayType) => new ArrayType(Uint8Array.from(bytes).buffer); // aligned
const floats = ({ tensor_content: bytes, float_val }) => (bytes.length ? asArray(bytes, Float32Array) : float_val);
const integers = ({ tensor_content: bytes, int_val }) => (bytes.length ? asArray(bytes, Int32Array) : int_val);
function text({ tensor_content: bytes, string_val: [value] }) {
  // As bytes: its length as a varint, which ends with a byte below 128, then the string.
  return (value ?? bytes.subarray(bytes.findIndex((byte) => byte < 0x80) + 1)).toString();
}

async function readSpec(client, name) {
  const key = { dtype: 'DT_STRING', tensor_shape: { dim: [{ size: 1 }] }, string_val: [Buffer.from('model_spec')] };
  const reply = await call(client, { model_spec: { name, signature_name: 'spec' }, inputs: { key } });
  return { spec: JSON.parse(text(reply.outputs.model_spec)), version: reply.model_spec.version };
}

const product = (sizes) => sizes.reduce((a, b) => a * b, 1);
const unravel = (index, shape) =>
  shape.map((size, axis) => Math.floor(index / product(shape.slice(axis + 1))) % size);

function readNpy(path) {
  const file = readFileSync(path);
  if (file.toString('latin1', 0, 6) !== '\x93NUMPY') throw new Error(`${path} is not a .npy file`);
  const start = file[6] === 1 ? 10 : 12;
  const end = start + (file[6] === 1 ? file.readUInt16LE(8) : file.readUInt32LE(8));
  const header = file.toString('latin1', start, end);
  const [, type] = /'descr': '([^']*)'/.exec(header) ?? [];
  const shape = (/'shape': \(([^)]*)\)/.exec(header)?.[1].match(/\d+/g) ?? []).map(Number);
  const ArrayType = NPY_ARRAYS[type];
  if (!ArrayType) throw new Error(`${path} holds ${type ?? 'records'}; expected int16 (<i2) or float32 (<f4)`);
  if (header.includes("'fortran_order': True")) throw new Error(`${path} is in Fortran order; save it in C order`);
  if (file.length - end !== product(shape) * ArrayType.BYTES_PER_ELEMENT) throw new Error(`${path} is cut off`);
  return { shape, values: asArray(file.subarray(end), ArrayType) };
}

/** Padding, with a bright box in the middle third of each axis. */
function synthetic({ grid: { shape, padding_value: padding }, intensity: { window_high: bright } }) {
  const inside = (index) => unravel(index, shape).every((i, axis) => Math.floor((3 * i) / shape[axis]) === 1);
  const value = (_, index) => (inside(index) ? (bright ?? padding + 100) : padding);
  return { shape, values: Array.from({ length: product(shape) }, value) };
}

/** The input [1, ...grid, 1] in the model's dtype; what int16 can't hold is rounded and saturates. */
function toTensor({ shape, values }, { grid, intensity: { dtype } }) {
  const [given, expected] = [shape.join('×'), grid.shape.join('×')];
  if (given !== expected) throw new Error(`the volume is ${given}; the model's grid is ${expected}`);
  if (!values.every(Number.isFinite)) throw new Error('the volume holds NaN or infinite values');
  const array = dtype === 'int16'
    ? Int16Array.from(values, (value) => Math.min(Math.max(Math.round(value), -32768), 32767))
    : Float32Array.from(values);
  const dim = [1, ...shape, 1].map((size) => ({ size }));
  return { dtype: TENSOR_TYPES[dtype], tensor_shape: { dim }, tensor_content: Buffer.from(array.buffer) };
}

function print(spec, scores, cam, classIndex) {
  spec.labels.forEach((label, k) => {
    const score = scores[k].toFixed(6);
    if (spec.activation === 'ACTIVATION_IDENTITY') console.log(`${label}: ${score} ${spec.unit}`.trimEnd());
    else console.log(`${label}: ${(100 * scores[k]).toFixed(2)} % (score ${score})`);
  });
  const { cells, offset, stride, reference_maximum: reference } = spec.cam_layers[0];
  const strongest = cam.reduce((best, value, cell) => (value > cam[best] ? cell : best), 0);
  const where = unravel(strongest, cells).map((cell, axis) => offset[axis] + stride[axis] * cell);
  console.log(`explained: ${spec.labels[classIndex]}`);
  if (cam[strongest] > NO_EVIDENCE_SHARE * (reference ?? 0)) {
    console.log(`strongest cell: at [${where.join(', ')}] on the grid of [${spec.grid.shape.join(', ')}]`);
  } else console.log('no evidence: the map has no cell that stands out');
}

async function main() {
  const { values: { server, model: name, volume } } = parseArgs({
    options: {
      server: { type: 'string', default: '127.0.0.1:8500' },
      model: { type: 'string', default: 'default' },
      volume: { type: 'string' },
    },
  });
  // Whole heatmaps would be larger than the 4 MiB that a client receives by default.
  const client = new grpc.Client(server, grpc.credentials.createInsecure(), { 'grpc.max_receive_message_length': -1 });
  try {
    const { spec, version } = await readSpec(client, name);
    const { outputs } = await call(client, {
      model_spec: { name, version, signature_name: 'serving_default' }, // the version whose spec this is
      inputs: { volume: toTensor(volume ? readNpy(volume) : synthetic(spec), spec) },
      output_filter: ['scores', 'cam', 'class_index'],
    });
    print(spec, floats(outputs.scores), floats(outputs.cam), integers(outputs.class_index)[0]);
  } catch (error) {
    if (error.code === grpc.status.UNAVAILABLE) throw new Error(`no gRPC server answers at ${server} (${error.details})`);
    if (error.code === grpc.status.NOT_FOUND) throw new Error(`${server} serves no model ${name} (${error.details})`);
    throw error;
  } finally {
    client.close();
  }
}

main().catch((error) => {
  console.error(`error: ${error.message}`);
  process.exitCode = 1;
});
