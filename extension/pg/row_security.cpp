#include "pg/row_security.hpp"

namespace billing::pg {

namespace {

const Const* constant(const Node* node) {
  if (IsA(node, RelabelType)) node = reinterpret_cast<const Node*>(castNode(RelabelType, node)->arg);
  const Const* found = IsA(node, Const) ? castNode(Const, node) : nullptr;
  return found != nullptr && !found->constisnull ? found : nullptr;
}

bool may_select(Oid table) {
  bool is_missing = false;
  return pg_class_aclcheck_ext(table, GetUserId(), ACL_SELECT, &is_missing) == ACLCHECK_OK && !is_missing;
}

// (SELECT has_table_privilege(<table>, 'SELECT')), which is the same for every row, and true.
bool is_held_privilege(const Node* node) {
  if (!IsA(node, SubLink)) return false;
  const SubLink* link = castNode(SubLink, node);
  if (link->subLinkType != EXPR_SUBLINK || !IsA(link->subselect, Query)) return false;
  const Query* query = castNode(Query, link->subselect);
  if (query->commandType != CMD_SELECT || query->rtable != NIL || query->jointree->fromlist != NIL ||
      query->jointree->quals != nullptr || query->cteList != NIL || query->setOperations != nullptr ||
      query->havingQual != nullptr || query->limitCount != nullptr || query->limitOffset != nullptr ||
      query->hasTargetSRFs || list_length(query->targetList) != 1)
    return false;
  const Node* told = reinterpret_cast<const Node*>(linitial_node(TargetEntry, query->targetList)->expr);
  if (!IsA(told, FuncExpr)) return false;
  const FuncExpr* call = castNode(FuncExpr, told);
  if (call->funcid != F_HAS_TABLE_PRIVILEGE_OID_TEXT) return false;
  const Const* table = constant(static_cast<const Node*>(linitial(call->args)));
  const Const* privilege = constant(static_cast<const Node*>(lsecond(call->args)));
  if (table == nullptr || (table->consttype != OIDOID && table->consttype != INT4OID)) return false;
  if (privilege == nullptr || privilege->consttype != TEXTOID ||
      std::strcmp(TextDatumGetCString(privilege->constvalue), "SELECT") != 0)
    return false;
  return may_select(DatumGetObjectId(table->constvalue));
}

bool is_for_everybody(ArrayType* roles) {
  const Oid* role = reinterpret_cast<const Oid*>(ARR_DATA_PTR(roles));
  for (int i = 0; i < ARR_DIMS(roles)[0]; ++i)
    if (role[i] == ACL_ID_PUBLIC) return true;
  return false;
}

bool lets_see_all(const RowSecurityPolicy* policy) {
  if ((policy->polcmd != '*' && policy->polcmd != ACL_SELECT_CHR) || !is_for_everybody(policy->roles))
    return false;
  const Node* rule = reinterpret_cast<const Node*>(policy->qual);
  if (rule == nullptr || !IsA(rule, BoolExpr) || castNode(BoolExpr, rule)->boolop != OR_EXPR) return false;
  ListCell* cell = nullptr;
  foreach (cell, castNode(BoolExpr, rule)->args)
    if (is_held_privilege(static_cast<const Node*>(lfirst(cell)))) return true;
  return false;
}

}  // namespace

bool sees_every_row(Relation relation) {
  if (check_enable_rls(RelationGetRelid(relation), InvalidOid, true) != RLS_ENABLED) return true;
  // Who has switched it off wants an error rather than rows left out.
  if (!row_security || relation->rd_rsdesc == nullptr) return false;
  bool all = false;
  ListCell* cell = nullptr;
  foreach (cell, relation->rd_rsdesc->policies) {
    const auto* policy = static_cast<const RowSecurityPolicy*>(lfirst(cell));
    if (!policy->permissive) return false;
    all = all || lets_see_all(policy);
  }
  return all;
}

}  // namespace billing::pg
