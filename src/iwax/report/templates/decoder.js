// The generative network in plain JavaScript: base64 -> half-precision weights -> pictures. No page is needed (see the tests).
"use strict";

const Decoder = (() => {
  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

  function halves(text) {
    const data = new DataView(bytes(text).buffer);
    return Float64Array.from({ length: data.byteLength / 2 }, (_, i) => half(data.getUint16(2 * i, true)));
  }

  function half(bits) {
    const sign = bits & 0x8000 ? -1 : 1, exponent = (bits >> 10) & 31, fraction = bits & 1023;
    if (exponent === 0) return sign * fraction * 2 ** -24;
    if (exponent === 31) return fraction ? NaN : sign * Infinity;
    return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
  }

  const ACTIVATIONS = {
    tanh: Math.tanh,
    relu: (x) => Math.max(x, 0),
    silu: (x) => x / (1 + Math.exp(-x)),
  };
  const SCALES = { exp: Math.exp, softplus: (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x))) };

  const dense = ({ inputs, weight, bias }) => ({ inputs, weight: halves(weight), bias: halves(bias) });

  function unpack(packed) {
    const blocks = packed.blocks.map(({ trunk, activation, heads }) => ({
      trunk: trunk.map(dense), activation: ACTIVATIONS[activation], scale: SCALES[heads.scale_map],
      heads: Object.fromEntries(Object.entries(heads).filter(([, head]) => head.weight).map(([name, head]) => [name, dense(head)])),
    }));
    return { ...packed, blocks, images: packed.images.map(bytes), means: packed.means.map((layer) => layer.map(halves)) };
  }

  function apply({ inputs, weight, bias }, x) {
    const y = Float64Array.from(bias), outputs = y.length;
    for (let i = 0, at = 0; i < inputs; i++, at += outputs) {
      const value = x[i];
      if (value !== 0) for (let j = 0; j < outputs; j++) y[j] += value * weight[at + j];
    }
    return y;
  }

  const hidden = (block, x) => block.trunk.reduce((y, layer) => apply(layer, y).map(block.activation), x);

  function gaussian(block, z) {
    const h = hidden(block, z);
    return { loc: apply(block.heads.loc, h), scale: apply(block.heads.scale, h).map(block.scale) };
  }

  // z_{l-1} given z_l: its mean, moved by `noise` standard deviations.
  function below(block, z, noise) {
    const { loc, scale } = gaussian(block, z);
    return loc.map((value, i) => value + scale[i] * noise[i]);
  }

  // The noise of each layer below the top that makes `z` of the layers above it.
  function noises(model, z) {
    const depth = model.blocks.length;
    return z.map((values, l) => {
      if (l === depth - 1) return values.map(() => 0);
      const { loc, scale } = gaussian(model.blocks[depth - 2 - l], z[l + 1]);
      return values.map((value, i) => (value - loc[i]) / scale[i]);
    });
  }

  // The mean of p(x | z_1), each pixel in [0, 1].
  function picture(model, z) {
    const block = model.blocks[model.blocks.length - 1];
    return apply(block.heads.logits, hidden(block, z)).map((logit) => 1 / (1 + Math.exp(-logit)));
  }

  // All layers below `layer` (0 is the one nearest the data), which are set afresh from it and `noise`, then the picture.
  function decode(model, z, noise, layer) {
    const depth = model.blocks.length;
    for (let l = layer; l > 0; l--) z[l - 1] = below(model.blocks[depth - 1 - l], z[l], noise[l - 1]);
    return picture(model, z[0]);
  }

  return { unpack, decode, noises };
})();

if (typeof module !== "undefined") module.exports = Decoder;
