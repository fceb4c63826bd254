"""What a button reads, and whether the robot may press it."""

from __future__ import annotations

import pytest

from scraper_agent import buttons

PLAIN = """
保存|提交|删除|审核|审批|过账|记账|作废|确认|新增|新建|创建|修改|上传|导入|发送|同意|驳回|撤销|反审核|弃审|反过账|取消审核|取消过账|批准
一键审核|立即提交|批量删除|全部确认|生成|结账|反结账|复核|冲销|下达|关闭订单|保存(S)|删除[D]|储存|刪除|審核|過賬|暂存|复制|编辑|付款|开票
Save|Submit|Delete|Approve|Post|Confirm|Create|New|Edit|Update|Remove|Upload|Import|Send|Reject|Void|Release|Validate
保 存| 删  除 |保\u200b存|ＳＡＶＥ|Delete (D)|» 提交 «|保存并提交|重新提交|POST|Reset to draft|Cancel order
快速审核(F4)|整单删除|不通过|Pay
"""
OF_MORE_WORDS = """
保存并新增下一张|保存查询方案|提交本单据到海关|订单审核|采购订单审核|行删除|查询并确认|生成报表|生成凭证|Save as draft
Post journal entry|Review and approve|Delete selected rows|New purchase order|Submit for approval|Send by email
"""
HARMLESS = """
查询|搜索|下一页|上一页|首页|末页|确定|取消|关闭|返回|刷新|展开|收起|详情|查看|明细|更多|重置|导出|打印|打印预览|筛选|排序|采购订单
登录|退出
审核人|提交人|创建日期|修改时间|审核状态|提交记录|审核日志|已审核|未审核|待审核|已过账|未记账|已提交|导出Excel
联查|共 60 条|PO-2026-0001||12.50
Search|Query|Next|Previous|Details|Open|View|Refresh|Filter|Export|Print|Close|Cancel|OK|Back|More|Apply|Postal|Posts|Saved
Newest|Addressbook|Next page|Purchase orders|Show details|ÅLAND
"""


def each(table: str) -> list[str]:
    return [text for line in table.strip("\n").split("\n") for text in line.split("|")]


@pytest.mark.parametrize("text", each(PLAIN))
def test_what_writes_is_never_pressed_whoever_vouches_for_it(text: str) -> None:
    assert buttons.writes(text)
    assert buttons.plainly_writes(text)
    assert buttons.refuses([text], text) == text


@pytest.mark.parametrize("text", each(OF_MORE_WORDS))
def test_what_reads_like_writing_is_pressed_only_where_the_recipe_vouches_for_the_very_text(text: str) -> None:
    assert buttons.refuses([text], None) == text
    assert buttons.refuses([text], text + "x") == text
    assert buttons.refuses(["查看", text], text) is None
    assert buttons.refuses([text, "删除"], text) == "删除"


@pytest.mark.parametrize("text", each(HARMLESS))
def test_what_only_reads_is_pressed(text: str) -> None:
    assert buttons.refuses([text], None) is None
