use std::cell::RefCell;
use std::rc::Rc;

use js_sys::Promise;
use wasm_bindgen::JsValue;

use super::convert::{JsResult, OrThrow, failure};
use crate::error::Error;

/// What promises work on. It is taken out while one does, so that nothing is borrowed meanwhile: other calls find it `busy`.
pub(super) struct Lent<T>(Rc<RefCell<Option<T>>>);

impl<T: 'static> Lent<T> {
    pub(super) fn new(value: T) -> Self {
        Self(Rc::new(RefCell::new(Some(value))))
    }

    /// Uses it at once.
    pub(super) fn with<R>(&self, work: impl FnOnce(&mut T) -> crate::Result<R>) -> JsResult<R> {
        self.0.borrow_mut().as_mut().ok_or(Error::Busy).and_then(work).or_throw()
    }

    /// A promise of what is done with it.
    pub(super) fn promise(&self, work: impl AsyncFnOnce(&mut T) -> JsResult<JsValue> + 'static) -> Promise {
        let cell = Rc::clone(&self.0);
        let Some(mut value) = cell.take() else { return Promise::reject(&failure(&Error::Busy)) };
        js_sys::futures::future_to_promise(async move {
            let result = work(&mut value).await;
            cell.replace(Some(value));
            result
        })
    }
}
