"""What a button reads, and whether it may be pressed: nothing that sounds like writing is.

Rather too often than too seldom is taken for writing. A recipe's author can vouch for a button of more words that only
leads somewhere, such as 查询并确认; for plain 保存, 审核 or Delete nobody can.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

_VERBS = (
    r"(?:保存|储存|暂存|另存为?|提交|删除|删行|移除|清空|审核|审批|复核|批准|核准|过账|过帐|记账|记帐|入账|入帐|登账|结账|结转|作废|确认|新增|新建|增加|添加|增行"
    r"|插入|创建|修改|编辑|变更|更新|复制|上传|导入|发送|下发|下达|发布|推送|传送|同意|通过|驳回|退回|拒绝|撤销|撤回|撤审|收回|生成|冲销|红冲|核销"
    r"|关闭订单|关闭单据|结案|锁定|解锁|冻结|解冻|启用|停用|付款|收款|开票|出库|入库|签收|签字|盖章|申报|报送|执行|运行|恢复|还原|合并|拆分|分配|调整"
    r"|儲存|刪除|審核|審批|過賬|過帳|記帳|確認|新增|修改|發送|導入)"
)
_UNDO = r"(?:反|弃|取消|撤销|解除|消)(?:审核?|审批|复核|过[账帐]|记[账帐]|结[账转]|确认|核销|作废|提交|订单|单据|签字)"
_HOW = r"(?:一键|立即|马上|直接|快速|批量|全部|整单|确认并?|继续|强制|自动|不|再次|重新|点击|请)*"
_ENGLISH = (
    r"(?:save|submit|delete|remove|erase|approve|post|unpost|book|confirm|create|new|add|insert|edit|update|modify|process"
    r"|upload|import|send|transmit|release|reject|decline|accept|void|reverse|revoke|recall|withdraw|validate|authori[sz]e"
    r"|write off|sign off|publish|archive|unarchive|duplicate"
    r"|pay|sign|lock|unlock|activate|deactivate|merge|split|assign|execute|run"
    r"|reset to draft|set to draft|cancel (?:order|document|invoice|entry|posting|approval))(?![a-z])"
)
_NOUN = r"(?!(?:人员?|者|方|日期|时间|日|状态|历史|记录|日志|结果|编号|次数|原因|明细|列表|情况|进度)\W*$)"
"""审核人, 创建日期, 提交状态 are the headers of columns."""
_BEFORE = r"(?<![已未待可免经被])"
"""已审核, 未过账 tell how something is."""

_BEGINS = re.compile(rf"^\W*{_HOW}(?:{_UNDO}|{_VERBS}{_NOUN})|^\W*(?:please |now |quick )*{_ENGLISH}", re.IGNORECASE)
_ENDS = re.compile(
    rf"^\S{{0,14}}?{_BEFORE}(?:{_UNDO}|{_VERBS})(?:[(\[<]?\w{{0,6}}[)\]>])?\W*$|\b(?:and|then|&|\+) ?{_ENGLISH}",
    re.IGNORECASE,
)
_PLAIN = re.compile(
    rf"^\W*{_HOW}(?:{_UNDO}|{_VERBS}|{_ENGLISH})(?:并?(?:{_VERBS}))*(?: ?[(\[<]?[a-z0-9+]{{0,8}}[)\]>]?)?\W*$",
    re.IGNORECASE,
)
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff]")


def folded(text: str) -> str:
    """What an element reads, as it is compared: no two widths of a letter, no invisible characters, single spaces."""
    return " ".join(_INVISIBLE.sub("", unicodedata.normalize("NFKC", text)).split())


def writes(text: str) -> bool:
    """Whether a button that reads so may write: it begins or ends with such a word. Such an element is never clicked.

    Rather too often than too seldom: a recipe may vouch for what reads like it and only leads somewhere.
    """
    told = folded(text)
    close = re.sub(r"(?<=[^\x00-\x7f]) (?=[^\x00-\x7f])", "", told)  # 保 存
    return any(pattern.search(each) for each in (told, close) for pattern in (_BEGINS, _ENDS))


def plainly_writes(text: str) -> bool:
    """Whether it reads nothing but to write, such as 保存 or Delete (D): no recipe can vouch for that."""
    return _PLAIN.fullmatch(re.sub(r"(?<=[^\x00-\x7f]) (?=[^\x00-\x7f])", "", folded(text))) is not None


def refuses(readings: Iterable[str], although: str | None) -> str | None:
    """The first text that forbids a click; None if it may be. `although`: what the recipe's author vouches for."""
    for text in readings:
        if writes(text) and (although is None or folded(text) != folded(although) or plainly_writes(text)):
            return text
    return None
