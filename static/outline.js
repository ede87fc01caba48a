// The edge of a mask as closed loops of pixel corners.

// Steps along the grid of pixel corners: right, down, left, up. The mask lies on the right hand.
const DX = [1, 0, -1, 0];
const DY = [0, 1, 0, -1];

/**
 * Loops around the ones of a mask ({width, height, data}), holes included. Each loop is a flat list
 * x0, y0, x1, y1, … of its corners in pixels, to be closed by the caller.
 */
export function traceOutline(mask) {
  const { width, height, data } = mask;
  const stride = width + 1;
  // Which steps leave each corner, one bit per direction.
  const leaves = new Uint8Array(stride * (height + 1));
  const filled = (x, y) =>
    x >= 0 && y >= 0 && x < width && y < height && data[y * width + x] !== 0;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (data[y * width + x] === 0) {
        continue;
      }
      const corner = y * stride + x;
      if (!filled(x, y - 1)) {
        leaves[corner] |= 1;
      }
      if (!filled(x + 1, y)) {
        leaves[corner + 1] |= 2;
      }
      if (!filled(x, y + 1)) {
        leaves[corner + stride + 1] |= 4;
      }
      if (!filled(x - 1, y)) {
        leaves[corner + stride] |= 8;
      }
    }
  }
  const loops = [];
  for (let start = 0; start < leaves.length; start++) {
    while (leaves[start] !== 0) {
      loops.push(walk(leaves, stride, start));
    }
  }
  return loops;
}

function walk(leaves, stride, start) {
  const loop = [];
  let corner = start;
  let direction = -1;
  do {
    const bits = leaves[corner];
    // Where two pixels touch at a corner only, turning right keeps their loops apart.
    let next = direction < 0 ? 0 : (direction + 1) % 4;
    while (!(bits & (1 << next))) {
      next = (next + 3) % 4;
    }
    if (next !== direction) {
      loop.push(corner % stride, Math.floor(corner / stride));
    }
    leaves[corner] &= ~(1 << next);
    corner += DX[next] + DY[next] * stride;
    direction = next;
  } while (corner !== start);
  return loop;
}
