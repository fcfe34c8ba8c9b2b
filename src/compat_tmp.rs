use crate::{Acceptor, Connector, Control};
impl<I> std::ops::Deref for Acceptor<I> {
    type Target = Control<I>;
    fn deref(&self) -> &Control<I> {
        self.control_ref()
    }
}
impl<I> std::ops::Deref for Connector<I> {
    type Target = Control<I>;
    fn deref(&self) -> &Control<I> {
        self.control_ref()
    }
}
impl<I: Send + Sync + 'static> Control<I> {
    #[allow(missing_docs)]
    pub fn gate(&self) -> &Self {
        self
    }
}
impl<I> crate::live::OpenConnection<I> {
    #[allow(missing_docs)]
    pub fn end(&self) {
        self.close()
    }
    #[allow(missing_docs)]
    pub fn ending(&self) -> Option<crate::live::CloseReason> {
        self.close_reason()
    }
}
