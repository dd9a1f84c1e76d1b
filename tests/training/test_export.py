def test_golden(golden):
    assert len(golden) == 7
