//! What one piece of work talks to the database through.

use std::sync::Arc;

use async_trait::async_trait;
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseExecutor, DatabaseTransaction, DbBackend, DbErr,
    ExecResult, IntoDatabaseExecutor, QueryResult, Statement, TransactionTrait,
};

/// Any connection of a pool for each statement, or one transaction for all of them.
///
/// Between a pooler that lends connections by transaction and the database, two statements may be two connections: what
/// was prepared or set for the first is not there for the second. So there each piece of work is a transaction, which
/// forgets what others have prepared and says for itself what it needs.
#[derive(Debug, Clone)]
pub(super) enum Session {
    Pool(DatabaseConnection),
    Transaction(Arc<DatabaseTransaction>),
}

impl Session {
    /// Does `work`. With an `opening`, in a transaction of its own that begins with those statements.
    pub(super) async fn scope<T, F>(
        pool: &DatabaseConnection,
        opening: Option<&str>,
        work: impl FnOnce(Self) -> F,
    ) -> Result<T, DbErr>
    where
        F: Future<Output = Result<T, DbErr>>,
    {
        let Some(opening) = opening else {
            return work(Self::Pool(pool.clone())).await;
        };
        let transaction = pool.begin().await?;
        transaction.execute_unprepared(opening).await?;
        let transaction = Arc::new(transaction);
        let result = work(Self::Transaction(Arc::clone(&transaction))).await;
        let transaction = Arc::into_inner(transaction).expect("the work has ended");
        match result {
            Ok(value) => transaction.commit().await.map(|()| value),
            Err(error) => {
                // If this fails, too, the connection is gone and the transaction with it.
                let _ = transaction.rollback().await;
                Err(error)
            }
        }
    }
}

#[async_trait]
impl ConnectionTrait for Session {
    fn get_database_backend(&self) -> DbBackend {
        match self {
            Self::Pool(pool) => pool.get_database_backend(),
            Self::Transaction(transaction) => transaction.get_database_backend(),
        }
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        match self {
            Self::Pool(pool) => pool.execute_raw(statement).await,
            Self::Transaction(transaction) => transaction.execute_raw(statement).await,
        }
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        match self {
            Self::Pool(pool) => pool.execute_unprepared(sql).await,
            Self::Transaction(transaction) => transaction.execute_unprepared(sql).await,
        }
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        match self {
            Self::Pool(pool) => pool.query_one_raw(statement).await,
            Self::Transaction(transaction) => transaction.query_one_raw(statement).await,
        }
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        match self {
            Self::Pool(pool) => pool.query_all_raw(statement).await,
            Self::Transaction(transaction) => transaction.query_all_raw(statement).await,
        }
    }
}

impl<'c> IntoDatabaseExecutor<'c> for &'c Session {
    fn into_database_executor(self) -> DatabaseExecutor<'c> {
        match self {
            Session::Pool(pool) => pool.into_database_executor(),
            Session::Transaction(transaction) => (&**transaction).into_database_executor(),
        }
    }
}
