import type { Model } from 'regraft';

/**
 * A Python script that runs the exported ONNX file with the same preparation of images as here:
 * upright, on white, resized with antialiasing, normalised.
 */
export function pythonSnippet(model: Model, fileName: string): string {
  const { size, fit, cropFraction, resample, channelOrder, scale, mean, std } = model.preprocessing;
  const input = model.inputs[0];
  const nchw = input?.shape[1] === 3;
  const filter = { bilinear: 'BILINEAR', bicubic: 'BICUBIC', area: 'BOX' }[resample];
  const fitted = {
    stretch: [`image = image.resize((${size.width}, ${size.height}), Image.Resampling.${filter})`],
    crop: [
      `side = min(image.width / ${size.width}, image.height / ${size.height}) * ${cropFraction}`,
      `w, h = side * ${size.width}, side * ${size.height}`,
      'x, y = (image.width - w) / 2, (image.height - h) / 2',
      `image = image.resize((${size.width}, ${size.height}), Image.Resampling.${filter}, box=(x, y, x + w, y + h))`,
    ],
    pad: [`image = ImageOps.pad(image, (${size.width}, ${size.height}), Image.Resampling.${filter}, color="white")`],
  }[fit];
  return [
    'import numpy as np, onnxruntime, sys',
    'from PIL import Image, ImageOps',
    '',
    `labels = ${JSON.stringify(model.labels ?? [])}`,
    `session = onnxruntime.InferenceSession(${JSON.stringify(fileName)})`,
    '',
    'image = ImageOps.exif_transpose(Image.open(sys.argv[1])).convert("RGBA")',
    'image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")',
    ...fitted,
    `x = np.asarray(image, np.float32)${channelOrder === 'bgr' ? '[:, :, ::-1]' : ''} * ${scale}`,
    `x = (x - np.array(${list(mean)}, np.float32)) / np.array(${list(std)}, np.float32)`,
    `x = x${nchw ? '.transpose(2, 0, 1)' : ''}[np.newaxis]`,
    '',
    `p = session.run(None, {${JSON.stringify(input?.name ?? 'input')}: np.ascontiguousarray(x)})[0][0]`,
    'for i in np.argsort(-p)[:5]:',
    '    print(f"{labels[i]}: {p[i]:.1%}")',
    '',
  ].join('\n');
}

function list(values: readonly number[]): string {
  return `[${values.join(', ')}]`;
}
