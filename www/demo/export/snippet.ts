import type { Model, Preprocessing } from 'regraft';

/**
 * A Python script that runs the exported ONNX file on an image prepared as it is here: upright, on white, resized and
 * cropped as torchvision does on Pillow images, normalised.
 */
export function pythonSnippet(model: Model, fileName: string): string {
  const { preprocessing } = model;
  const { channelOrder, scale, mean, std } = preprocessing;
  const input = model.inputs[0];
  const nchw = input?.shape[1] === 3;
  const { resize, place } = fitting(preprocessing);
  return [
    'import sys',
    'import numpy as np, onnxruntime',
    'from PIL import Image, ImageOps',
    '',
    `labels = ${JSON.stringify(model.labels ?? [])}`,
    `session = onnxruntime.InferenceSession(${JSON.stringify(fileName)})`,
    '',
    'image = ImageOps.exif_transpose(Image.open(sys.argv[1])).convert("RGBA")',
    'image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")',
    ...resize,
    '',
    `x = np.asarray(image, np.float32)${channelOrder === 'bgr' ? '[:, :, ::-1]' : ''} * ${scale}`,
    `x = (x - np.float32([${mean.join(', ')}])) / np.float32([${std.join(', ')}])`,
    ...place,
    `x = np.ascontiguousarray(x${nchw ? '.transpose(2, 0, 1)' : ''}[np.newaxis], np.float32)`,
    '',
    `p = session.run(None, {${JSON.stringify(input?.name ?? 'input')}: x})[0][0]`,
    'for i in np.argsort(-p)[:5]:',
    '    print(f"{labels[i]}: {p[i]:.1%}")',
    '',
  ].join('\n');
}

/** Lines that bring `image` to the network's size; `place` come after normalisation. */
function fitting({ size: { width, height }, fit, cropFraction, resample }: Preprocessing): { resize: string[]; place: string[] } {
  const filter = `Image.Resampling.${{ bilinear: 'BILINEAR', bicubic: 'BICUBIC', area: 'BOX' }[resample]}`;
  switch (fit) {
    case 'stretch':
      return { resize: [`image = image.resize((${width}, ${height}), ${filter})`], place: [] };
    case 'pad':
      return {
        resize: [`image = ImageOps.contain(image, (${width}, ${height}), ${filter})`],
        place: [
          `left, top = round((${width} - image.width) / 2), round((${height} - image.height) / 2)`,
          `x = np.pad(x, ((top, ${height} - image.height - top), (left, ${width} - image.width - left), (0, 0)))`,
        ],
      };
    case 'crop': {
      // A fraction that was a quotient, such as 224 / 256, gives back its divisor.
      const [coverWidth, coverHeight] = [width, height].map((side) => Math.floor(side / cropFraction + 1e-6));
      return {
        resize: [
          'w, h = image.size',
          `w, h = (${coverWidth}, ${coverWidth} * h // w) if w * ${coverHeight} <= h * ${coverWidth} else (${coverHeight} * w // h, ${coverHeight})`,
          `left, top = round((w - ${width}) / 2), round((h - ${height}) / 2)`,
          `image = image.resize((w, h), ${filter}).crop((left, top, left + ${width}, top + ${height}))`,
        ],
        place: [],
      };
    }
    default:
      return fit satisfies never;
  }
}
