"""The steps of the work as tabs, each a page that scrolls on its own."""

from __future__ import annotations

from qtpy.QtCore import QSize
from qtpy.QtWidgets import QSizePolicy, QTabWidget, QWidget

from napari_wbc.widgets.qt.layout import column, scrolled

TALLEST = 500
"""Height in pixels that a page asks for at most; what is taller scrolls."""


class StepTabs(QTabWidget):
    """Pages in the order of the work."""

    def __init__(self) -> None:
        super().__init__()
        self._pages: list[QWidget] = []
        self.setDocumentMode(True)
        # It would shine through the round corners of napari's tabs, white in the dark theme.
        self.tabBar().setDrawBase(False)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.tabBar().setExpanding(True)
        self.setUsesScrollButtons(False)

    def add_step(
        self, title: str, tip: str, *widgets: QWidget, stretch: QWidget | None = None
    ) -> None:
        """Add a page with widgets one below the other; one of them may take the room left."""
        page = QWidget()
        layout = column(page, *widgets, stretch=stretch, margin=6, spacing=6)
        if stretch is None:
            layout.addStretch()
        self._pages.append(page)
        self.setTabToolTip(self.addTab(scrolled(page), title), tip)

    def sizeHint(self) -> QSize:  # noqa: N802 (Qt's name)
        """Room for the tallest page, as far as a small screen has it."""
        heights = [page.sizeHint().height() for page in self._pages]
        wanted = self.tabBar().sizeHint().height() + max(heights, default=0)
        return QSize(super().sizeHint().width(), min(wanted, TALLEST))

    def bring(self, widget: QWidget) -> None:
        """Show the page that a widget is on."""
        for i in range(self.count()):
            page = self.widget(i)
            if page is not None and page.isAncestorOf(widget):
                self.setCurrentIndex(i)
        inner = widget.parentWidget()
        while inner is not None and inner is not self:
            if isinstance(inner, StepTabs):
                inner.bring(widget)
            inner = inner.parentWidget()
