//! Photos of the assets as pixels.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use png::{ColorType, Decoder, Transformations};
use regraft::data::Image;
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;

/// Decoded pixels, 8 bits a channel.
pub(crate) struct Picture {
    data: Vec<u8>,
    width: u32,
    height: u32,
    channels: u8,
}

impl Picture {
    /// Decodes a PNG or a JPEG file, by the ending of its name.
    pub(crate) fn open(path: &Path) -> Self {
        let name = path.display();
        match path.extension().and_then(|e| e.to_str()) {
            Some("png") => png(path).unwrap_or_else(|e| panic!("{name}: {e}")),
            Some("jpg") => jpeg(path),
            _ => panic!("{name} is neither PNG nor JPEG"),
        }
    }

    pub(crate) fn image(&self) -> Image<'_> {
        Image::new(&self.data, self.width, self.height, self.channels).expect("pixels of that size")
    }
}

fn png(path: &Path) -> Result<Picture, png::DecodingError> {
    let mut decoder = Decoder::new(BufReader::new(File::open(path)?));
    decoder.set_transformations(Transformations::normalize_to_color8() | Transformations::ALPHA);
    let mut reader = decoder.read_info()?;
    let mut data = vec![0; reader.output_buffer_size().expect("a size that fits memory")];
    let frame = reader.next_frame(&mut data)?;
    data.truncate(frame.buffer_size());
    if frame.color_type == ColorType::GrayscaleAlpha {
        data = data.as_chunks().0.iter().flat_map(|&[grey, alpha]| [grey, grey, grey, alpha]).collect();
    }
    Ok(Picture { data, width: frame.width, height: frame.height, channels: 4 })
}

fn jpeg(path: &Path) -> Picture {
    let bytes = std::fs::read(path).expect("a file");
    let mut decoder = JpegDecoder::new(ZCursor::new(bytes.as_slice()));
    let data = decoder.decode().unwrap_or_else(|e| panic!("{}: {e:?}", path.display()));
    let (width, height) = decoder.dimensions().expect("decoded");
    Picture { data, width: width as u32, height: height as u32, channels: 3 }
}
