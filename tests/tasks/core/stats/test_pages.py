from dataclasses import replace

import numpy as np
import pytest
from evaluation_fakes import golden_label

from tasks.core.stats import clusters_of
from tasks.core.stats.pages import ASSUMED_CORRELATION, pages_of


def test_labels_that_share_a_page_directly_or_not_are_one_cluster() -> None:
    labels = [golden_label(i) for i in range(5)]
    labels[0] = replace(labels[0], documents=("a", "b"))
    labels[1] = replace(labels[1], documents=("c",))
    labels[2] = replace(labels[2], documents=("b", "c"))
    labels[3] = replace(labels[3], documents=())
    labels[4] = replace(labels[4], documents=())
    found = clusters_of(labels)
    assert found[0] == found[1] == found[2]
    assert len({found[0], found[3], found[4]}) == 3


def test_values_are_summed_by_page() -> None:
    pages = pages_of([1.0, 0.5, -1.0, 0.0, 1.0], [7, 7, 3, 3, 3])
    assert pages.sums.tolist() == [[0.0], [1.5]]
    assert pages.sizes.tolist() == [3, 2]
    assert pages.means.tolist() == [1.5 / 5]
    assert pages.spreads[0] == pytest.approx(np.std([1.0, 0.5, -1.0, 0.0, 1.0]))


def test_the_page_of_a_question_is_larger_than_a_page() -> None:
    pages = pages_of([0.0] * 10, [0] * 6 + [1, 2, 3, 4])
    assert pages.page_size == (6 * 6 + 4) / 10
    assert pages.large_page == (6**3 + 4) / (6**2 + 4)


def test_pages_of_equal_size_have_that_size() -> None:
    pages = pages_of([0.0] * 12, [i // 4 for i in range(12)])
    assert (pages.page_size, pages.large_page) == (4, 4)


def test_questions_that_share_nothing_have_no_design_effect() -> None:
    assert pages_of([1.0, 0.0, -1.0, 0.0], [0, 1, 2, 3]).design_effects.tolist() == [1.0]


def test_pages_that_agree_count_once() -> None:
    """60 pages of 5, each of one mind: the observed correlation is 1."""
    values = np.repeat([1.0, -1.0] * 30, 5)
    assert pages_of(values, np.repeat(range(60), 5).tolist()).design_effects[0] == pytest.approx(5, abs=0.1)


def test_before_anything_was_seen_the_correlation_is_assumed() -> None:
    pages = pages_of([0.0] * 100, [i // 5 for i in range(100)])
    assert pages.design_effects.tolist() == [1 + 4 * ASSUMED_CORRELATION]


def test_one_page_says_as_much_as_one_question() -> None:
    assert pages_of([1.0, 0.0, 1.0], [0, 0, 0]).design_effects.tolist() == [3.0]
