// The client's MessagePack by itself; test_client.py compares it with msgspec's.

import assert from "node:assert/strict";
import { test } from "node:test";

import { pack, unpack } from "../../../src/treadle/hub/javascript/treadle-hub.js";

const hex = (text) => Uint8Array.from(Buffer.from(text.replaceAll(" ", ""), "hex"));
const long = (length) => Array.from({ length }, (_, index) => index % 7);
const wide = (length) => Object.fromEntries(long(length).map((value, index) => [`k${index}`, value]));

const SAME = [
  null, true, false, 0, 1, 127, 128, 255, 256, 65_535, 65_536, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1,
  -1, -32, -33, -128, -129, -32_768, -32_769, -(2 ** 31), -(2 ** 31) - 1, -(2 ** 53) + 1,
  0.5, -0, 1e300, Infinity, -Infinity, NaN, 2n ** 53n, 2n ** 64n - 1n, -(2n ** 63n),
  "", "x".repeat(31), "x".repeat(32), "x".repeat(255), "x".repeat(256), "x".repeat(65_536), "äöü€😀", "\ufeff",
  Uint8Array.of(), new Uint8Array(255), new Uint8Array(256), new Uint8Array(65_536),
  [], long(15), long(16), long(65_536), {}, wide(15), wide(16), wide(65_536),
  { a: [{ b: null }], c: Uint8Array.of(1) },
];

for (const [index, value] of SAME.entries()) {
  test(`value ${index} comes back as it was`, () => assert.deepEqual(unpack(pack(value)), value));
}

test("a buffer that grows loses nothing, whatever is written across its end", () => {
  for (const value of [null, 200, 70_000, 0.1, 2n ** 60n, "ä", Uint8Array.of(1, 2)]) {
    for (let before = 240; before < 260; before++) {
      const values = ["x".repeat(before), value, value];
      assert.deepEqual(unpack(pack(values)), values);
    }
  }
});

test("every cut of a value is noticed", () => {
  const whole = pack({ text: "hello", list: [1, 300, -70_000, 1.5], bytes: new Uint8Array(300) });
  for (let length = 0; length < whole.length; length++) {
    assert.throws(() => unpack(whole.subarray(0, length)), TypeError);
  }
});

test("what follows a value is noticed", () => assert.throws(() => unpack(hex("c0 c0")), /more follows/));

test("the code that begins nothing is noticed", () => assert.throws(() => unpack(hex("c1")), TypeError));

test("a view of a larger buffer is packed alone", () => {
  const view = new Uint8Array(Uint8Array.of(1, 2, 3, 4).buffer, 1, 2);
  assert.deepEqual(unpack(pack(view)), Uint8Array.of(2, 3));
  assert.deepEqual(unpack(pack(new Uint16Array([1]))).length, 2);
  assert.deepEqual(unpack(pack(Uint8Array.of(5).buffer)), Uint8Array.of(5));
});

test("bytes that were unpacked are their own, not a part of the message", () => {
  assert.equal(unpack(pack(Uint8Array.of(1, 2))).buffer.byteLength, 2);
});

test("what is undefined is left out, as in JSON", () => {
  assert.deepEqual(unpack(pack({ a: undefined, b: 1 })), { b: 1 });
});

test("what has toJSON goes by that", () => {
  assert.equal(unpack(pack(new Date(0))), "1970-01-01T00:00:00.000Z");
});

test("what cannot be sent is refused", () => {
  assert.throws(() => pack(() => {}), /a function cannot be sent/);
  assert.throws(() => pack(2n ** 64n), RangeError);
});

test("a key of a map cannot change what an object is", () => {
  const value = unpack(hex("81 a9 5f5f70726f746f5f5f 81 a1 78 01")); // {"__proto__": {"x": 1}}
  assert.equal(value.x, undefined);
  assert.deepEqual(Object.keys(value), ["__proto__"]);
});

test("timestamps of all sizes are dates", () => {
  assert.equal(unpack(hex("d6 ff 00000001")).getTime(), 1000);
  assert.equal(unpack(hex("d7 ff 77359400 00000001")).getTime(), 1500);
  assert.equal(unpack(hex("c7 0c ff 1dcd6500 ffffffffffffffff")).getTime(), -500);
});

test("other extensions are kept", () => {
  assert.deepEqual(unpack(hex("d4 05 07")), { extension: 5, data: Uint8Array.of(7) });
});
